"""Protobuf and YAML both ways."""
# protobuf and yaml round trips
from res import *
PB='application/vnd.kubernetes.protobuf'
def run():
    setsec('8 protobuf/yaml')
    import s1b
    for o in OBJS:
        o=copy.deepcopy(o); o['metadata']['name']=o['metadata']['name'].replace('x','pb') if o['metadata']['name']=='x' else o['metadata']['name']
        td=s1b.tdfile(o); k=o['apiVersion']+' '+o['kind']
        p=coll(o)+'?dryRun=All'
        a,b=both('POST',p,o,accept=PB,cmp=False)
        R.n+=1; R.bysec['8 protobuf/yaml'][0]+=1
        if a.status!=b.status or a.ctype!=b.ctype: 
            R.classes['content-type']+=1; R.recs.append({'sec':'8 protobuf/yaml','name':f'{k} pb out','cls':'content-type','req':p,'cox':a.status,'up':b.status,'ct':[a.ctype,b.ctype]}); R.bysec['8 protobuf/yaml'][1]+=1; continue
        R.same+=1
        # each server's protobuf, read by the other one: upstream bytes to both
        both('POST',p,b.body,ctype=PB,name=f'{k} upstream pb in')
        # product's bytes and upstream's bytes read by upstream only
        UP.send('POST',p,a.body,{'Content-Type':PB,'Accept':'application/json'}); x=UP.recv()
        UP.send('POST',p,b.body,{'Content-Type':PB,'Accept':'application/json'}); y=UP.recv()
        R.n+=1; R.bysec['8 protobuf/yaml'][0]+=1
        nx,ny=norm(x.js),norm(y.js)
        for z in (nx,ny):
            if isinstance(z,dict): (z.get('metadata') or {}).pop('managedFields',None)
        if x.status!=y.status or diffs(prune(nx),prune(ny)):
            d=diffs(nx,ny); cls='object' if x.status==y.status else f'status {x.status} vs {y.status}'
            R.classes[cls]+=1; R.bysec['8 protobuf/yaml'][1]+=1; R.recs.append({'sec':'8 protobuf/yaml','name':f'{k} product pb read by upstream','cls':cls,'req':p,'cox':x.status,'up':y.status,'diffs':[(q,short(u,200),short(v,200)) for q,u,v in d],**({'cox_msg':short((nx or {}).get('message','')),'up_msg':short((ny or {}).get('message',''))} if x.status!=y.status else {})})
        else: R.same+=1
        # yaml out parsed
        a,b=both('POST',p,o,accept='application/yaml',cmp=False)
        ya,yb=(norm(yaml.safe_load(re.sub(r': (\d{4}-\d\d-\d\dT[\d:.]+Z)',r': "\1"',q.body.decode()))) for q in (a,b))
        R.n+=1; R.bysec['8 protobuf/yaml'][0]+=1
        for z in (ya,yb): (z.get('metadata') or {}).pop('managedFields',None)
        if diffs(prune(ya),prune(yb)) : R.classes['object']+=1; R.bysec['8 protobuf/yaml'][1]+=1; R.recs.append({'sec':'8 protobuf/yaml','name':f'{k} yaml out','cls':'object','req':p,'cox':a.status,'up':b.status,'diffs':[(q,short(u,200),short(v,200)) for q,u,v in diffs(prune(ya),prune(yb))]})
        else: R.same+=1
    for p in ('/api/v1/namespaces','/apis/rbac.authorization.k8s.io/v1/clusterroles','/api/v1/nodes','/api/v1/namespaces/none','/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas'):
        both('GET',p+'?watch=true&timeoutSeconds=1',accept=PB+';stream=watch',cmp=False) if 0 else None
        a,b=both('GET',p,accept=PB,cmp=False); R.n+=1; R.bysec['8 protobuf/yaml'][0]+=1
        if (a.status,a.ctype)!=(b.status,b.ctype): R.recs.append({'sec':'8 protobuf/yaml','name':f'GET {p} pb','cls':'content-type','req':p,'cox':a.status,'up':b.status,'ct':[a.ctype,b.ctype]}); R.classes['content-type']+=1
