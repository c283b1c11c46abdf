"""Admission plugins: pod security standards, and those that are off by default where DIFF_PLUGINS enables them."""
from res import *
from s2 import MP, JP, SP
PSA = 'pod-security.kubernetes.io/'


def namespace(name, labels=None, expect=True):
    body = {'metadata': {'name': name, 'labels': labels or {}}}
    both('POST', '/api/v1/namespaces', body, name=f'namespace {labels}', cmp=expect)
    both('POST', f'/api/v1/namespaces/{name}/serviceaccounts', {'metadata': {'name': 'default'}}, cmp=False)
    return f'/api/v1/namespaces/{name}'


def pod(name, spec, annotations=None):
    spec = {'automountServiceAccountToken': False, 'containers': [{'name': 'c', 'image': 'i'}], **spec}
    return {'metadata': {'name': name, 'annotations': annotations or {}}, 'spec': spec}


def one(context, **more):
    return {'containers': [{'name': 'c', 'image': 'i', 'securityContext': context, **more}]}


def each(context):
    c = lambda n: {'name': n, 'image': 'i', 'securityContext': context}
    return {'securityContext': {k: v for k, v in context.items() if k not in ('privileged', 'capabilities', 'allowPrivilegeEscalation', 'procMount')},
            'initContainers': [c('i1'), c('i2')], 'containers': [c('c1'), c('c2')]}


GOOD = {'allowPrivilegeEscalation': False, 'capabilities': {'drop': ['ALL']}, 'runAsNonRoot': True, 'seccompProfile': {'type': 'RuntimeDefault'}}
SPECS = [{}, {'hostNetwork': True}, {'hostPID': True, 'hostIPC': True}, one({'privileged': True}), each({'privileged': True}), one(GOOD), each(GOOD),
         one({**GOOD, 'capabilities': {'add': ['NET_BIND_SERVICE', 'CHOWN', 'SYS_TIME'], 'drop': ['ALL']}}), each({'capabilities': {'add': ['NET_RAW', 'BPF']}}),
         one({**GOOD, 'runAsNonRoot': False}), one({**GOOD, 'runAsUser': 0}), each({'runAsUser': 0}), {**each({'runAsUser': 0}), 'hostUsers': False},
         {**one({**GOOD, 'procMount': 'Unmasked'}), 'hostUsers': False}, one({'seccompProfile': {'type': 'Unconfined'}}), each({'seccompProfile': {'type': 'Localhost', 'localhostProfile': 'x'}}),
         one({'seLinuxOptions': {'type': 'x_t'}}), each({'seLinuxOptions': {'type': 'container_engine_t', 'user': 'u', 'role': 'r', 'level': 's0'}}),
         one({'appArmorProfile': {'type': 'Unconfined'}}), each({'appArmorProfile': {'type': 'Unconfined'}}), {'securityContext': {'windowsOptions': {'hostProcess': True}}, 'hostNetwork': True},
         {**one({}), 'os': {'name': 'windows'}}, {'securityContext': {'sysctls': [{'name': n, 'value': '1'} for n in ('kernel.shm_rmid_forced', 'net.ipv4.tcp_rmem', 'net.ipv4.tcp_notsent_lowat', 'kernel.msgmax')]}},
         one(GOOD, ports=[{'containerPort': 80, 'hostPort': 80}, {'containerPort': 9, 'hostPort': 9}]), one(GOOD, livenessProbe={'httpGet': {'port': 80, 'host': 'h'}}, lifecycle={'preStop': {'httpGet': {'port': 80, 'host': 'g'}}}),
         {'volumes': [{'name': 'a', 'hostPath': {'path': '/'}}, {'name': 'b', 'nfs': {'server': 's', 'path': '/'}}, {'name': 'd', 'emptyDir': {}}, {'name': 'e', 'iscsi': {'targetPortal': 't', 'iqn': 'iqn.2001-04.com.example:x', 'lun': 0}}]},
         {'volumes': [{'name': 'a', 'hostPath': {'path': '/'}}, {'name': 'f', 'hostPath': {'path': '/'}}]}]
ANNOTATED = {'container.apparmor.security.beta.kubernetes.io/c': 'unconfined', 'seccomp.security.alpha.kubernetes.io/pod': 'unconfined'}


def security():
    stamp = str(int(time.time()) % 100000)
    setsec('10a labels')
    values = ('', 'privileged', 'baseline', 'restricted', 'Baseline', 'x'); versions = ('', 'latest', 'v1.0', 'v1.37', 'v1.99', 'v1.01', '1.2', 'v2.0')
    for mode in ('enforce', 'audit', 'warn'):
        for v in values: both('POST', '/api/v1/namespaces?dryRun=All', {'metadata': {'name': 'a', 'labels': {PSA + mode: v}}}, name=f'label {mode}={v}')
        for v in versions: both('POST', '/api/v1/namespaces?dryRun=All', {'metadata': {'name': 'a', 'labels': {PSA + mode + '-version': v}}}, name=f'label {mode}-version={v}')
    both('POST', '/api/v1/namespaces?dryRun=All', {'metadata': {'name': 'a', 'labels': {PSA + m: 'x' for m in ('enforce', 'audit', 'warn', 'enforce-version', 'audit-version', 'warn-version')}}}, name='all labels wrong')
    setsec('10b pods')
    for level in ('baseline', 'restricted'):
        for version in ('latest', 'v1.0', 'v1.8', 'v1.18', 'v1.22', 'v1.24', 'v1.30', 'v1.34'):
            base = namespace(f'psa-{level[0]}-{version.replace(".", "-")}-{stamp}', {PSA + 'enforce': level, PSA + 'enforce-version': version})
            warned = namespace(f'psw-{level[0]}-{version.replace(".", "-")}-{stamp}', {PSA + 'warn': level, PSA + 'warn-version': version, PSA + 'audit': level})
            for spec in SPECS:
                both('POST', base + '/pods?dryRun=All', pod('p', spec), name=f'enforce {level}:{version} {spec}')
                both('POST', warned + '/pods?dryRun=All', pod('p', spec), name=f'warn {level}:{version} {spec}')
            both('POST', base + '/pods?dryRun=All', pod('p', {}, ANNOTATED), name=f'enforce {level}:{version} annotated')
    base = namespace('psc-' + stamp, {PSA + 'enforce': 'restricted', PSA + 'enforce-version': 'v1.23', PSA + 'warn': 'baseline'})
    setsec('10c workloads')
    template = {'metadata': {'labels': {'a': 'b'}}, 'spec': {'hostNetwork': True, 'containers': [{'name': 'c', 'image': 'i'}]}}
    selector = {'matchLabels': {'a': 'b'}}
    never = {**template, 'spec': {**template['spec'], 'restartPolicy': 'Never'}}
    apps, ns = '/apis/apps/v1/namespaces/psc-' + stamp, 'psc-' + stamp
    for path, spec in ((apps + '/deployments', {'selector': selector, 'template': template}), (apps + '/replicasets', {'selector': selector, 'template': template}),
                       (apps + '/daemonsets', {'selector': selector, 'template': template}), (apps + '/statefulsets', {'selector': selector, 'template': template, 'serviceName': 's'}),
                       (base + '/replicationcontrollers', {'selector': {'a': 'b'}, 'template': template}), (f'/apis/batch/v1/namespaces/{ns}/jobs', {'template': never}),
                       (f'/apis/batch/v1/namespaces/{ns}/cronjobs', {'schedule': '@daily', 'jobTemplate': {'spec': {'template': never}}})):
        both('POST', path + '?dryRun=All', {'metadata': {'name': 'w'}, 'spec': spec}, name='workload ' + path)
    both('POST', base + '/podtemplates?dryRun=All', {'metadata': {'name': 'w'}, 'template': template}, name='pod template')
    both('POST', apps + '/deployments', {'metadata': {'name': 'w'}, 'spec': {'selector': selector, 'template': template}}, name='deployment')
    both('PATCH', apps + '/deployments/w', {'spec': {'replicas': 3}}, ctype=MP, name='deployment scaled'); both('PATCH', apps + '/deployments/w/scale', {'spec': {'replicas': 2}}, ctype=MP, name='scale')
    setsec('10d changes')
    base = namespace('psd-' + stamp)
    for i, spec in enumerate((one({'privileged': True}), one({'privileged': True}), one(GOOD), {'hostPID': True}, {})): both('POST', base + '/pods', pod(f'p{i}', spec), cmp=False)
    for labels in ({'enforce': 'baseline'}, {'enforce': 'restricted'}, {'enforce-version': 'v1.5'}, {'enforce': 'baseline'}, {'enforce-version': 'latest'}, {'enforce': 'privileged'}, {'enforce': 'bad'},
                   {'warn': 'restricted'}, {'enforce': 'restricted', 'warn': None}):
        both('PATCH', base, {'metadata': {'labels': {PSA + k: v for k, v in labels.items()}}}, ctype=MP, name=f'relabel {labels}')
    both('PATCH', base + '/pods/p0', {'metadata': {'labels': {'a': 'b'}}}, ctype=MP, name='label of a violating pod'); both('PATCH', base + '/pods/p0', [{'op': 'replace', 'path': '/spec/containers/0/image', 'value': 'j'}], ctype=JP, name='image of a violating pod')
    both('PATCH', base + '/pods/p0/status', {'status': {'phase': 'Running'}}, ctype=MP, name='status of a violating pod')
    both('PATCH', base + '/pods/p2/ephemeralcontainers', {'spec': {'ephemeralContainers': [{'name': 'e', 'image': 'i'}]}}, ctype=SP, name='ephemeral container')
    both('PATCH', base + '/pods/p2/ephemeralcontainers', {'spec': {'ephemeralContainers': [{'name': 'e', 'image': 'i', 'securityContext': GOOD}]}}, ctype=SP, name='good ephemeral container')
    both('PATCH', base + '/pods/p3/resize', {'spec': {'containers': [{'name': 'c', 'resources': {'requests': {'cpu': '1'}}}]}}, ctype=SP, name='resize of a violating pod')


def others():
    setsec('10e plugins')
    stamp = str(int(time.time()) % 100000)
    base = namespace('plg-' + stamp)
    svc = lambda ips: {'metadata': {'name': 's'}, 'spec': {'ports': [{'port': 80}], 'externalIPs': ips}}
    both('POST', base + '/services?dryRun=All', svc(['192.0.2.1']), name='external IPs')
    anti = lambda key: {'affinity': {'podAntiAffinity': {'requiredDuringSchedulingIgnoredDuringExecution': [{'labelSelector': {}, 'topologyKey': key}]}}}
    for key in ('kubernetes.io/hostname', 'zone'): both('POST', base + '/pods?dryRun=All', pod('p', anti(key)), name='apart by ' + key)
    both('POST', base + '/pods?dryRun=All', pod('p', {'volumes': [{'name': 'v', 'image': {'reference': 'r'}}], 'containers': [{'name': 'c', 'image': 'i:1', 'imagePullPolicy': 'Never'}]}), name='pull policies')
    gpu = {'limits': {'example.com/gpu': '1'}}
    both('POST', base + '/pods?dryRun=All', pod('p', {'containers': [{'name': 'c', 'image': 'i', 'resources': gpu}], 'tolerations': [{'key': 'example.com/gpu', 'operator': 'Exists', 'effect': 'NoSchedule', 'tolerationSeconds': None}]}), name='extended resource')
    for note, value in (('node-selector', 'a=b'), ('node-selector', 'a'), ('node-selector', 'a=b c'), ('node-selector', ' a = b ,c='), ('node-selector', '?=b'), ('node-selector', None), ('defaultTolerations', '[{"key":"k","operator":"Exists"}]'),
                        ('tolerationsWhitelist', '[{"key":"x","operator":"Exists"}]'), ('tolerationsWhitelist', ''), ('defaultTolerations', None)):
        both('PATCH', base, {'metadata': {'annotations': {'scheduler.alpha.kubernetes.io/' + note: value}}}, ctype=MP, cmp=False)
        time.sleep(.3)
        for spec in ({}, {'nodeSelector': {'a': 'c'}}, {'nodeSelector': {'d': 'e'}}, {'tolerations': [{'key': 'x', 'operator': 'Exists', 'effect': 'NoExecute', 'tolerationSeconds': 5}]},
                     {'containers': [{'name': 'c', 'image': 'i', 'resources': {'requests': {'cpu': '1'}}}]}):
            both('POST', base + '/pods?dryRun=All', pod('p', spec), name=f'{note}={value} {spec}')
    both('POST', f'/api/v1/namespaces/auto-{stamp}/configmaps?dryRun=All', {'metadata': {'name': 'm'}}, name='missing namespace in a dry run')
    both('POST', f'/api/v1/namespaces/auto-{stamp}/configmaps', {'metadata': {'name': 'm'}}, name='missing namespace'); both('DELETE', f'/api/v1/namespaces/auto2-{stamp}/configmaps/m', name='deletion in a missing namespace')
    R_ = '/apis/rbac.authorization.k8s.io/v1'
    both('POST', R_ + '/clusterroles', {'metadata': {'name': 'own-' + stamp}, 'rules': [{'apiGroups': [''], 'resources': ['configmaps'], 'verbs': ['create', 'patch', 'get']}]}, cmp=False)
    both('POST', R_ + '/clusterrolebindings', {'metadata': {'name': 'own-' + stamp}, 'roleRef': {'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'ClusterRole', 'name': 'own-' + stamp}, 'subjects': [{'apiGroup': 'rbac.authorization.k8s.io', 'kind': 'User', 'name': 'owner'}]}, cmp=False)
    time.sleep(1)
    owner = lambda kind, blocks, version='v1': {'metadata': {'name': f'm-{kind.lower()}-{blocks}', 'ownerReferences': [{'apiVersion': version, 'kind': kind, 'name': 'o', 'uid': '1', 'blockOwnerDeletion': blocks}]}}
    user = {'Impersonate-User': 'owner'}
    for body in (owner('Pod', False), owner('Pod', True), owner('Node', True), owner('Foo', True), owner('Foo', True, 'x.y/v1'), owner('Deployment', True, 'apps/v1')):
        both('POST', base + '/configmaps', body, hdr=user, name=f'owner {body}')
        both('PATCH', base + '/configmaps/m-pod-False', body['metadata'] and {'metadata': {'ownerReferences': body['metadata']['ownerReferences']}}, ctype=MP, hdr=user, name=f'change of owner {body}')
    both('POST', '/api/v1/nodes', {'metadata': {'name': 'big', 'labels': {'kubernetes.io/os': 'linux'}}, 'status': {'allocatable': {'cpu': '2', 'memory': '1Gi'}}}, cmp=False); time.sleep(.5)
    both('POST', base + '/pods', pod('r', {'nodeName': 'big', 'containers': [{'name': 'c', 'image': 'i', 'resources': {'requests': {'cpu': '1', 'memory': '1Mi'}}}]}), cmp=False)
    for requests in ({'cpu': '2'}, {'cpu': '2001m'}, {'cpu': '3', 'memory': '2Gi'}):
        both('PATCH', base + '/pods/r/resize', {'spec': {'containers': [{'name': 'c', 'resources': {'requests': requests}}]}}, ctype=SP, name=f'resize {requests}')


def run():
    security()
    others()
