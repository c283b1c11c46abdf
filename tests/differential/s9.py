"""What the other comparisons do not come to: documents and patches that are odd, address families, rights."""
from res import *
from s2 import MP, JP, SP, AP
from s7 import SVC
C = '/api/v1/namespaces/ns1/configmaps'
S = '/api/v1/namespaces/ns1/services'
D = '/apis/apps/v1/namespaces/ns1/deployments'
RB = '/apis/rbac.authorization.k8s.io/v1'
AD = '/apis/admissionregistration.k8s.io/v1'


def documents():
    setsec('9a documents')
    for body in (rb'{"metadata":{"name":"x"},"data":{"a":"\ud800"}}', rb'{"metadata":{"name":"x"},"data":{"a":"\uDC00\ud83d\ude00"}}',
                 rb'{"metadata":{"name":"x"},"data":{"a":"\\ud800"}}', b'{"metadata":{"name":"x"},"data":{"a":"\xff\xe2\x82z"}}',
                 b'{"metadata":{"name":"\xff"}}', b'{"metadata":{"name":"x"},"data":{"\xff":"a"}}', b'{\xff:1}', b'{"a":\xff}'):
        both('POST', C + '?dryRun=All', body, name=f'not Unicode {body!r}')
        both('POST', C + '?dryRun=All', body, ctype='application/yaml', name=f'not Unicode {body!r} as yaml') if b'\xff' not in body else None
    for q in ('', '&fieldValidation=Strict'):
        for body in ('{"zz":1,"metadata":{"name":"x","Name":"y"},"Data":{},"data":{"a":"b"},"data":{"c":"d"}}',
                     '{"data":{"a":"1","a":"2"},"zz":{"a":1,"a":2},"zz":1,"metadata":{"name":"x","name":"x"},"aa":1}',
                     '{"metadata":{"name":"x","ownerReferences":[{"bad":1},{"worse":2}],"alsobad":[{"a":1,"a":1}]}}'):
            both('POST', C + '?dryRun=All' + q, body, name=f'order of what is odd {body[:60]} {q}')


def patches():
    setsec('9b patches')
    d = {'metadata': {'name': 'p9'}, 'spec': {'selector': {'matchLabels': {'a': 'b'}}, 'template': {'metadata': {'labels': {'a': 'b'}},
         'spec': {'containers': [{'name': 'c', 'image': 'i', 'env': [{'name': 'A', 'value': '1'}]}]}}}}
    both('POST', D, d, name='for patches')
    p = D + '/p9?dryRun=All'
    t = lambda spec: {'spec': {'template': {'spec': spec}}}
    for x in ({'spec': {'replicas': 1.5}}, {'spec': {'replicas': True}}, {'spec': {'replicas': 3.0}}, {'spec': {'replicas': 4294967298}},
              {'spec': []}, {'spec': 'x'}, {'metadata': {'labels': 'x'}}, {'metadata': {'labels': {'a': 5}}}, {'metadata': {'labels': {'a': False}}},
              {'metadata': {'labels': {'a': 1.5}}}, {'metadata': {'labels': {'a': []}}}, {'metadata': {'creationTimestamp': 5}},
              {'metadata': {'annotations': []}}, t({'restartPolicy': 1}), t({'hostNetwork': 'x'}), t({'hostNetwork': 1}), t({'nodeSelector': {'a': {}}}),
              t({'terminationGracePeriodSeconds': 'x'}), t({'securityContext': 'x'}), t({'tolerations': 'x'}), t({'tolerations': ['x']}),
              t({'containers': [{'name': 'c', 'resources': {'limits': {'cpu': []}}}]}), t({'containers': [{'name': 'c', 'livenessProbe': {'httpGet': {'port': True}}}]}),
              t({'containers': [{'name': 'c', 'livenessProbe': {'httpGet': {'port': 1.5}}}]}), {'spec': {'strategy': {'rollingUpdate': {'maxSurge': {}}}}}):
        both('PATCH', p, x, ctype=SP, name=f'strategic misfit {json.dumps(x)}')
        both('PATCH', p, x, ctype=MP, name=f'merge misfit {json.dumps(x)}')
    # Of a patch that drops the list's key only what remains matters.
    for x in (t({'containers': [{'name': 'c', 'image': 'i', 'env': [{'name': 'A', 'value': None}]}]}), t({'tolerations': [{'key': 'a', 'effect': None}]}),
              t({'containers': [{'name': 'c', 'image': 'i', 'args': [None]}]}), {'metadata': {'labels': {'n': None}, 'annotations': {'x': 'y', 'z': None}}},
              t({'affinity': {'nodeAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': None}}})):
        both('PATCH', p, x, ctype=MP, name=f'merge nulls {json.dumps(x)}')
    both('DELETE', D + '/p9', cmp=False)


def families():
    setsec('9c families')
    def svc(n, **k): return {'metadata': {'name': n}, 'spec': {'ports': [{'port': 80}], **k}}
    sel = {'selector': {'a': 'b'}}
    for i, k in enumerate(({'clusterIP': SVC + '.79.1'}, {'clusterIP': 'None'}, {'clusterIP': 'None', **sel}, {'clusterIP': 'None', 'ipFamilyPolicy': 'SingleStack'},
                           {'clusterIP': 'None', 'ipFamilyPolicy': 'PreferDualStack'}, {'clusterIP': 'None', 'ipFamilies': ['IPv6']},
                           {'clusterIP': 'None', 'ipFamilies': ['IPv6'], **sel}, {'clusterIP': 'None', 'ipFamilyPolicy': 'RequireDualStack', **sel},
                           {'ipFamilyPolicy': 'SingleStack', 'ipFamilies': ['IPv4', 'IPv6']}, {'ipFamilyPolicy': 'PreferDualStack', 'ipFamilies': ['IPv6', 'IPv4']},
                           {'clusterIP': 'fd00::1', 'ipFamilies': ['IPv6']}, {'clusterIP': 'fd00::1', 'ipFamilies': ['IPv4']}, {'ipFamilies': ['IPv4'], 'clusterIP': SVC + '.79.2'})):
        both('POST', S, svc(f'f{i}', **k), name=f'families {k}')
        for x in ({'ipFamilyPolicy': 'SingleStack'}, {'ipFamilyPolicy': 'PreferDualStack'}, {'ipFamilyPolicy': 'RequireDualStack'}, {'ipFamilies': ['IPv6']},
                  {'ipFamilies': ['IPv4']}, {'ipFamilies': None}, {'type': 'ExternalName', 'externalName': 'a.b'}):
            both('PATCH', f'{S}/f{i}?dryRun=All', {'spec': x}, ctype=MP, name=f'families {k} then {x}')
        both('DELETE', f'{S}/f{i}', cmp=False)
    for q in ('?dryRun=All', ''):
        for ip in ('10.1.1.1', '0.0.0.0', '255.255.255.255', '127.0.0.1'):
            both('POST', S + q, svc('out', clusterIP=ip, **sel), name=f'address {ip} {q}')


def rights():
    setsec('9d rights')
    who = {'Impersonate-User': 'nine'}
    sa = {'Impersonate-User': 'system:serviceaccount:ns1:nine'}
    sub = [{'kind': 'User', 'name': 'nine', 'apiGroup': 'rbac.authorization.k8s.io'}, {'kind': 'ServiceAccount', 'name': 'nine', 'namespace': 'ns1'}]
    ref = lambda kind, name: {'apiGroup': 'rbac.authorization.k8s.io', 'kind': kind, 'name': name}
    def bind(path, name, kind, role):
        both('POST', RB + path, {'metadata': {'name': name}, 'roleRef': ref(kind, role), 'subjects': sub}, name=f'bind {kind} {role}')
    def ask(what):
        time.sleep(.5)
        for h in (who, sa):
            both('GET', '/api/v1/namespaces/ns1/secrets', hdr=h, name=f'{what}: secrets')
            both('GET', '/api/v1/namespaces/ns2/secrets/x', hdr=h, name=f'{what}: one elsewhere')
            both('GET', '/metrics', hdr=h, name=f'{what}: path')
            both('POST', '/apis/authorization.k8s.io/v1/selfsubjectrulesreviews', {'spec': {'namespace': 'ns1'}}, hdr=h, name=f'{what}: rules')
            both('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', {'spec': {'resourceAttributes': {'verb': 'get', 'resource': 'configmaps', 'namespace': 'ns1'}}}, hdr=h, name=f'{what}: access')
    ask('nothing')
    bind('/clusterrolebindings', 'nine-gone', 'ClusterRole', 'nine-gone')
    ask('one gone')
    bind('/namespaces/ns1/rolebindings', 'nine-gone', 'ClusterRole', 'nine-gone')
    ask('the same gone twice')
    both('POST', RB + '/namespaces/ns1/roles', {'metadata': {'name': 'nine'}, 'rules': [{'apiGroups': [''], 'resources': ['configmaps'], 'verbs': ['get', 'list']}]}, name='role')
    bind('/namespaces/ns1/rolebindings', 'nine', 'Role', 'nine')
    both('POST', RB + '/clusterroles', {'metadata': {'name': 'nine-writer'}, 'rules': [{'apiGroups': ['admissionregistration.k8s.io', 'rbac.authorization.k8s.io'], 'resources': ['*'], 'verbs': ['create', 'update', 'get']}]}, name='writer')
    bind('/clusterrolebindings', 'nine-writer', 'ClusterRole', 'nine-writer')
    ask('something')
    both('POST', RB + '/clusterroles', {'metadata': {'name': 'nine-more'}, 'rules': [{'apiGroups': [''], 'resources': ['pods'], 'verbs': ['get']}]}, hdr=who, name='escalation with a role gone')
    def policy(name, kind=None):
        p = {'metadata': {'name': name}, 'spec': {'matchConstraints': {'resourceRules': [{'operations': ['CREATE'], 'apiGroups': ['none'], 'apiVersions': ['v1'], 'resources': ['none']}]}, 'validations': [{'expression': 'true'}]}}
        if kind: p['spec']['paramKind'] = {'apiVersion': kind[0], 'kind': kind[1]}
        return p
    P, B = AD + '/validatingadmissionpolicies', AD + '/validatingadmissionpolicybindings'
    for h, by in ((None, 'admin'), (who, 'nine'), (sa, 'account')):
        for kind in (None, ('v1', 'ConfigMap'), ('apps/v1', 'Deployment'), ('other.example/v1', 'Thing'), ('v2', 'ConfigMap')):
            both('POST', P + '?dryRun=All', policy('nine', kind), hdr=h, name=f'policy {kind} by {by}')
    both('POST', P, policy('nine-cm', ('v1', 'ConfigMap')), name='policy'); both('POST', P, policy('nine-plain'), name='policy without parameters')
    both('POST', P, policy('nine-other', ('other.example/v1', 'Thing')), name='policy of unknown parameters')
    for h, by in ((None, 'admin'), (who, 'nine')):
        for of in ('nine-cm', 'nine-plain', 'nine-other', 'nine-none'):
            for params in (None, {'name': 'c', 'namespace': 'ns1'}, {'name': 'c', 'namespace': 'ns2'}, {'name': 'c'}, {'selector': {}}, {'selector': {}, 'namespace': 'ns1'}):
                b = {'metadata': {'name': 'nine'}, 'spec': {'policyName': of, 'validationActions': ['Deny'], **({'paramRef': {**params, 'parameterNotFoundAction': 'Deny'}} if params else {})}}
                both('POST', B + '?dryRun=All', b, hdr=h, name=f'binding of {of} to {params} by {by}')
    for n in ('nine-cm', 'nine-plain', 'nine-other'): both('DELETE', f'{P}/{n}', cmp=False)
    for p in ('/clusterrolebindings/nine-gone', '/clusterrolebindings/nine-writer', '/clusterroles/nine-writer', '/namespaces/ns1/rolebindings/nine-gone', '/namespaces/ns1/rolebindings/nine', '/namespaces/ns1/roles/nine'):
        both('DELETE', RB + p, cmp=False)


def statuses():
    setsec('9e statuses')
    P = AD + '/validatingadmissionpolicies'
    p = {'metadata': {'name': 'nine-status'}, 'spec': {'matchConstraints': {'resourceRules': [{'operations': ['CREATE'], 'apiGroups': ['none'], 'apiVersions': ['v1'], 'resources': ['none']}]}, 'validations': [{'expression': 'true'}]}}
    both('POST', P, p, name='policy for its status')
    for ref in ('spec.validations[0].expression', 'spec.validations[0]', '.a', 'a..b', '....', '..', '..*', 'a[', 'a[]', 'a[b]', "a['b']", "a['b.c']", "a['b'c']", 'a[*]', 'a[0:2]', 'a[1:5:2]', 'a[-1]', 'a[-]', 'a[:-]', 'a[1:2:3:4]',
                'a[0,1]', 'a[0, b]', 'a[99999999999999999999]', '[?(@.a)]', '[?(@.a==1)]', '[?(@.a=="x)y")]', "[?(@.a=='b')].c", '[?(@.a', '[?(@.a)', '[?(@.a)x', '[?(]', '[?()]', '[?(@.a==1.2.3)]', '"q"', "'q'", "'q", '"a\\"b"', "'a\\'b'", '"\\x41"', '"\\xzz"', '"\\q"',
                '"\\101"', '"\\400"', '"\\u00e9"', '"\\ud800"', '5', '+5', '-5', '1.5', '1.', '.5', '1.2.3', '-', '+', '1-2', 'true', 'range .items', 'end', '(', ')', 'a(b', 'a{b', 'a}b', 'a}b{c', 'a}b{(', '{', '}', '@', '$', '$.a', '$$', 'a b', 'a\tb', '\t', 'a\nb', ',', 'a,b', '\u00e9', '\u00e9.a', '\u20ac', '#', 'a\\.b', '\\', '~', '10.0.0.1', '*', '.*', '_a'):
        both('PATCH', f'{P}/nine-status/status?dryRun=All', {'status': {'typeChecking': {'expressionWarnings': [{'fieldRef': ref, 'warning': 'w'}]}}}, ctype=MP, name=f'fieldRef {ref!r}')
    both('DELETE', f'{P}/nine-status', cmp=False)
    # What a kubelet may say of containers that ended.
    PP = '/api/v1/namespaces/ns1/pods'
    ended = lambda code, reason='Error': {'terminated': {'exitCode': code, 'reason': reason}}
    for policy in ('Always', 'OnFailure', 'Never'):
        pod = {'metadata': {'name': 'nine'}, 'spec': {'restartPolicy': policy, 'automountServiceAccountToken': False, 'initContainers': [{'name': 'i', 'image': 'i'}, {'name': 's', 'image': 'i', 'restartPolicy': 'Always'}], 'containers': [{'name': 'c', 'image': 'i'}, {'name': 'd', 'image': 'i'}]}}
        both('POST', PP, pod, cmp=False)
        status = lambda name, state: [{'name': name, 'image': 'i', 'imageID': '', 'ready': False, 'restartCount': 0, 'state': state}]
        for field, name in (('containerStatuses', 'c'), ('initContainerStatuses', 'i'), ('initContainerStatuses', 's'), ('ephemeralContainerStatuses', 'e')):
            for code, reason in ((0, 'Completed'), (1, 'Error'), (128, 'StartError'), (137, 'OOMKilled')):
                both('PATCH', f'{PP}/nine/status', {'status': {field: status(name, ended(code, reason))}}, ctype=MP, cmp=False)
                for state in ({'waiting': {'reason': 'RunContainerError'}}, {'waiting': {'reason': 'CrashLoopBackOff'}}, {'running': {}}, ended(2), {}):
                    both('PATCH', f'{PP}/nine/status?dryRun=All', {'status': {field: status(name, state)}}, ctype=MP, name=f'{policy} {name} {reason} to {json.dumps(state)}')
                both('PATCH', f'{PP}/nine/status', {'status': {field: None}}, ctype=MP, cmp=False)
        both('DELETE', f'{PP}/nine?gracePeriodSeconds=0', cmp=False)


def warnings():
    setsec('9f warnings')
    def pod(env): return {'metadata': {'name': 'w'}, 'spec': {'automountServiceAccountToken': False, 'containers': [{'name': 'c', 'image': 'i', 'env': env}]}}
    for count, length in ((2, 10), (3, 300), (13, 300), (14, 300), (20, 300), (40, 300), (200, 20)):
        env = [{'name': f'A{i}' + 'x' * length, 'value': '1'} for i in range(count) for _ in (0, 1)]
        both('POST', '/api/v1/namespaces/ns1/pods?dryRun=All', pod(env), name=f'{count} warnings of {length}')
    both('POST', C + '?dryRun=All', '{"metadata":{"name":"x"},"\u00e9":1,"\u20ac":2,"a\\"b":3,"c\\\\d":4,"e\\nf":5}', name='warnings beyond ASCII')


def run():
    statuses()
    warnings()
    documents()
    patches()
    families()
    rights()
