"""Bootstrap objects, OpenAPI and names of metrics."""
import os
from res import *
import lib
CUSTOM=os.path.join(os.path.dirname(os.path.abspath(__file__)),'../../crates/apiserver/src/tests/custom_openapi.json')
CRDS='/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
def published(want):
    for _ in range(100):
        if all((b'my-shop' in r.body)==want for r in both('GET','/openapi/v3',cmp=False)): return
        time.sleep(0.2)
    raise SystemExit('custom resources are not published alike')
def objs(p):
    a,b=both('GET',p,cmp=False)
    def m(r): 
        out={}
        for it in (r.js or {}).get('items') or []:
            it=norm(it); it.pop('kind',None); it.pop('apiVersion',None); out[(it['metadata'].get('namespace',''),it['metadata']['name'])]=it
        return out
    return m(a),m(b)
def run():
    setsec('6 bootstrap')
    for pth in ('/apis/rbac.authorization.k8s.io/v1/clusterroles','/apis/rbac.authorization.k8s.io/v1/clusterrolebindings','/apis/rbac.authorization.k8s.io/v1/roles','/apis/rbac.authorization.k8s.io/v1/rolebindings','/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas','/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations','/apis/scheduling.k8s.io/v1/priorityclasses','/api/v1/namespaces','/api/v1/namespaces/default/services','/api/v1/namespaces/default/endpoints','/apis/discovery.k8s.io/v1/namespaces/default/endpointslices','/api/v1/namespaces/kube-system/configmaps','/api/v1/namespaces/kube-public/configmaps','/apis/coordination.k8s.io/v1/leases','/apis/apiregistration.k8s.io/v1/apiservices','/apis/networking.k8s.io/v1/servicecidrs','/apis/networking.k8s.io/v1/ipaddresses','/apis/storage.k8s.io/v1/storageclasses','/apis/node.k8s.io/v1/runtimeclasses','/api/v1/namespaces/kube-system/secrets','/api/v1/nodes'):
        A,B=objs(pth)
        skip=lambda k: k[0] in('ns1','ns2','nsq','nsl') or k[1] in('ns1','ns2','nsq','nsl')
        for k in sorted(set(A)|set(B)):
            if skip(k): continue
            R.n+=1; R.bysec[lib.SEC][0]+=1
            a,b=A.get(k),B.get(k)
            if a is None or b is None: cls='bootstrap-missing' if a is None else 'bootstrap-extra'
            else:
                if not diffs(a,b): R.same+=1; continue
                cls='bootstrap-managedFields' if not diffs(mfnorm({'metadata':a['metadata'],**a}),mfnorm({'metadata':b['metadata'],**b})) else 'bootstrap-object'
            R.classes[cls]+=1; R.bysec[lib.SEC][1]+=1
            R.recs.append({'sec':lib.SEC,'name':f'{pth.split("/")[-1]} {k}','cls':cls,'req':pth,'cox':200,'up':200,'diffs':[(p,short(x,240),short(y,240)) for p,x,y in (diffs(a,b) if a and b else [('',short(a,300),short(b,300))])]})
    setsec('5b openapi')
    for crd in json.load(open(CUSTOM))['definitions']: both('POST',CRDS,crd,cmp=False)
    published(True)
    a,b=both('GET','/openapi/v3',cmp=False)
    R.n+=1
    if a.ctype!=b.ctype: R.classes['content-type']+=1; R.recs.append({'sec':lib.SEC,'name':'/openapi/v3','cls':'content-type','req':'/openapi/v3','cox':200,'up':200,'ct':[a.ctype,b.ctype]})
    pa,pb=json.loads(a.body)['paths'],json.loads(b.body)['paths']
    def rec(name,cls,x,y):
        R.classes[cls]+=1; R.bysec[lib.SEC][1]+=1; R.recs.append({'sec':lib.SEC,'name':name,'cls':cls,'req':name,'cox':200,'up':200,'diffs':[(name,short(x,300),short(y,300))]})
    for p in sorted(set(pa)|set(pb)):
        R.n+=1; R.bysec[lib.SEC][0]+=1
        if p not in pa: rec(f'openapi v3 {p}','openapi-missing-doc','<absent>','present'); continue
        if p not in pb: rec(f'openapi v3 {p}','openapi-extra-doc','present','<absent>'); continue
        x,y=both('GET','/openapi/v3/'+p,cmp=False)
        for q in (x,y):
            try: q.js=json.loads(q.body)
            except Exception: pass
        if not x.js or not y.js: rec(f'openapi v3 {p}','openapi-body',x.status,y.status); continue
        walk(f'v3 {p}',x.js,y.js,rec)
    x,y=both('GET','/openapi/v2',cmp=False)
    x.js=json.loads(x.body); y.js=json.loads(y.body)
    walk('v2',x.js,y.js,rec)
    for acc in ('application/com.github.proto-openapi.spec.v2@v1.0+protobuf','application/com.github.proto-openapi.spec.v2.v1.0+protobuf','application/json','*/*','text/plain','application/com.github.proto-openapi.spec.v3.v1.0+protobuf'):
        for p in ('/openapi/v2','/openapi/v3','/openapi/v3/apis/apps/v1'):
            x,y=both('GET',p,accept=acc,cmp=False); R.n+=1; R.bysec[lib.SEC][0]+=1
            if (x.status,x.ctype)!=(y.status,y.ctype): rec(f'{p} accept {acc}','openapi-negotiation',(x.status,x.ctype,len(x.body)),(y.status,y.ctype,len(y.body)))
            else: R.same+=1
    for name in ('widgets','orbits'): both('DELETE',f'{CRDS}/{name}.my-shop.example.com',cmp=False)
    published(False)
    setsec('5c metrics')
    x,y=both('GET','/metrics',accept='*/*',cmp=False)
    def names(r): return {l.split()[2]:l.split()[3] for l in r.body.decode().split('\n') if l.startswith('# TYPE')}
    na,nb=names(x),names(y)
    for k in sorted(set(na)|set(nb)):
        R.n+=1; R.bysec[lib.SEC][0]+=1
        if na.get(k)!=nb.get(k): rec('metric '+k,'metric-missing' if k not in na else 'metric-extra' if k not in nb else 'metric-type',na.get(k),nb.get(k))
        else: R.same+=1
def ordered(schema):
    """required is a set"""
    return dict(schema,required=sorted(schema['required'])) if 'required' in schema else schema
def walk(tag,x,y,rec):
    """operations, parameters, schemas"""
    import lib
    X,Y=x.get('paths',{}),y.get('paths',{})
    for p in sorted(set(X)|set(Y)):
        R.n+=1; R.bysec[lib.SEC][0]+=1
        if p not in X: rec(f'{tag} path {p}','openapi-path-missing','<absent>','present'); continue
        if p not in Y: rec(f'{tag} path {p}','openapi-path-extra','present','<absent>'); continue
        d=[]
        for m in sorted((set(X[p])|set(Y[p]))-{'parameters'}):
            if m not in X[p] or m not in Y[p]: d.append((m,m in X[p],m in Y[p])); continue
            u,v=X[p][m],Y[p][m]
            for f in sorted(set(u)|set(v)):
                if f in('description',): continue
                if f=='parameters':
                    g=lambda l,o:sorted(set(q.get('name') or o['parameters'][q['$ref'].split('/')[-1]]['name'] for q in l)-{'namespace','name','body'})
                    pu,pv=(g((o['paths'][p][m].get(f) or [])+(o['paths'][p].get('parameters') or []),o) for o in (x,y))
                    if pu!=pv: d.append((m+'.parameters',pu,pv))
                elif f=='responses':
                    if sorted(u.get(f,{}))!=sorted(v.get(f,{})): d.append((m+'.responses',sorted(u.get(f,{})),sorted(v.get(f,{}))))
                elif f in('consumes','produces','schemes'):
                    if sorted(u.get(f,[]))!=sorted(v.get(f,[])): d.append((m+'.'+f,u.get(f),v.get(f)))
                elif f!='requestBody' and u.get(f)!=v.get(f): d.append((m+'.'+f,u.get(f),v.get(f)))
        if d: rec(f'{tag} path {p}','openapi-operation',[(q[0],q[1]) for q in d[:6]],[(q[0],q[2]) for q in d[:6]])
        else: R.same+=1
    X,Y=(z.get('definitions') or z.get('components',{}).get('schemas',{}) for z in (x,y))
    for p in sorted(set(X)|set(Y)):
        R.n+=1; R.bysec[lib.SEC][0]+=1
        if p not in X: rec(f'{tag} schema {p}','openapi-schema-missing','<absent>','present'); continue
        if p not in Y: rec(f'{tag} schema {p}','openapi-schema-extra','present','<absent>'); continue
        def strip(o,k=None):
            if isinstance(o,dict): return {a:(sorted(b) if a=='required' and isinstance(b,list) else strip(b,a)) for a,b in o.items() if a!='description' or k=='properties'}
            if isinstance(o,list): return [strip(q,k) for q in o] 
            return o
        d=diffs(strip(X[p]),strip(Y[p]))
        if d: rec(f'{tag} schema {p}','openapi-schema:'+'+'.join(sorted(set('allOf' if ('allOf' in q[0] or '$ref' in q[0]) else 'enum' if 'enum' in q[0] else 'required' if 'required' in q[0] else 'unions' if 'unions' in q[0] else 'gvk' if 'group-version-kind' in q[0] else 'format' if q[0].endswith('format') else 'default' if 'default' in q[0] else 'oneOf' if 'oneOf' in q[0] else 'list-map-keys' if 'x-kubernetes' in q[0] else 'other' for q in d))),[(q[0],q[1]) for q in d[:5]],[(q[0],q[2]) for q in d[:5]])
        elif diffs(ordered(X[p]),ordered(Y[p])): rec(f'{tag} schema {p}','openapi-description',*[short(str(q),120) for q in diffs(ordered(X[p]),ordered(Y[p]))[0][1:]])
        else: R.same+=1
