"""Every leaf of an object removed, retyped and out of range; leaves grafted from the full object; names and metadata."""
from res import *
import glob, subprocess, s1a
G=s1a.G
LONG='a'*300
def leaves(o,path=()):
    if isinstance(o,dict):
        if not o and path: yield path,o
        for k,v in o.items(): yield from leaves(v,path+(k,))
    elif isinstance(o,list):
        if not o and path: yield path,o
        for i,v in enumerate(o): yield from leaves(v,path+(i,))
    else: yield path,o
def getp(o,path):
    for p in path:
        o=o[p]
    return o
def setp(o,path,v):
    o=copy.deepcopy(o); c=o
    for i,p in enumerate(path[:-1]):
        nx=path[i+1]
        if isinstance(c,list):
            while len(c)<=p: c.append([] if isinstance(nx,int) else {})
            if c[p] is None: c[p]=[] if isinstance(nx,int) else {}
        else:
            if p not in c or c[p] is None or isinstance(c[p],(str,int,bool)): c[p]=[] if isinstance(nx,int) else {}
            if isinstance(nx,int)!=isinstance(c[p],list): c[p]=[] if isinstance(nx,int) else {}
        c=c[p]
    p=path[-1]
    if isinstance(c,list):
        while len(c)<=p: c.append(None)
    c[p]=v; return o
def delp(o,path):
    o=copy.deepcopy(o); c=o
    for p in path[:-1]: c=c[p]
    del c[path[-1]]; return o
DEL=object()
def pstr(p): return ''.join(f'[{x}]' if isinstance(x,int) else '.'+x for x in p)
def vals(v,full):
    if isinstance(v,bool): return [True,False,'x',None]
    if isinstance(v,(int,float)): return ([0,1,-1,70000,2**31,'x',1.5,None] if full else [0,1,-1,70000])
    if isinstance(v,str):
        if re.match(r'\d{4}-\d\d-\d\dT',v): return ['2024-01-01T00:00:00Z','x','',None]
        return (['','valid-name','Bad_Name!',LONG,5,None,{}] if full else ['','valid-name','Bad_Name!',LONG,'1','10.0.0.1'])
    return [None,'x',[]]
def sv(v): 
    s=json.dumps(v); return s if len(s)<40 else s[:12]+f'..({len(s)})'
MAXR=int(os.environ.get('MAXR','100000'))
def mutate(o,sec):
    p=coll(o)+'?dryRun=All&fieldValidation=Strict'; k=o['apiVersion']+' '+o['kind']
    base=list(leaves({a:b for a,b in o.items() if a not in('apiVersion','kind','metadata')}))
    allp=set()
    for path,v in base:
        for i in range(1,len(path)+1): allp.add(path[:i])
    for path in sorted(allp,key=str):
        both('POST',p,delp(o,path),name=f'{k} remove {pstr(path)}',sec=sec)
        cur=getp(o,path)
        if isinstance(cur,(dict,list)):
            for v in ([] if isinstance(cur,list) else {},None,'x',[{}],5): both('POST',p,setp(o,path,v),name=f'{k} set {pstr(path)}={sv(v)}',sec=sec)
            if isinstance(cur,list) and cur: both('POST',p,setp(o,path,cur+cur),name=f'{k} dup {pstr(path)}',sec=sec)
            if isinstance(cur,dict): both('POST',p,setp(o,path+('zzUnknown',),1),name=f'{k} unknown {pstr(path)}.zzUnknown',sec=sec)
    for path,v in base:
        for x in vals(v,True): both('POST',p,setp(o,path,x),name=f'{k} set {pstr(path)}={sv(x)}',sec=sec)
def graft(o,td,sec,skip=()):
    p=coll(o)+'?dryRun=All&fieldValidation=Strict'; k=o['apiVersion']+' '+o['kind']
    have={x for x,_ in leaves(o)}; seen=set()
    n=0
    for path,v in leaves({a:b for a,b in td.items() if a not in('apiVersion','kind','metadata','status')}):
        if any(str(s) in pstr(path) for s in skip): continue
        # whole parent subtree once
        for i in range(2,len(path)):
            par=path[:i]
            if par in seen: continue
            seen.add(par)
            try: both('POST',p,setp(o,par,getp(td,par)),name=f'{k} graft {pstr(par)}=<testdata>',sec=sec)
            except (TypeError,KeyError,IndexError): pass
            sub=getp(td,par)
            if isinstance(sub,dict): both('POST',p,setp(o,par,{}),name=f'{k} graft {pstr(par)}={{}}',sec=sec)
        if path in have: continue
        for x in vals(v,False)+[v]:
            both('POST',p,setp(o,path,x),name=f'{k} graft {pstr(path)}={sv(x)}',sec=sec); n+=1
            if n>MAXR: return
NAMES=['Bad_Name','a.b','a:b','-a','a'*254,'a'*64,'a/b','..','.','a%b','A','1','a b','a--b','system:x','10.0.0.1','é']
def names(o):
    p=coll(o)+'?dryRun=All&fieldValidation=Strict'; k=o['apiVersion']+' '+o['kind']
    for n in NAMES+['']:
        x=copy.deepcopy(o); x['metadata']['name']=n
        both('POST',p,x,name=f'{k} name={sv(n)}',sec='1e names')
    for g in ('Bad_','ok-','a'*250,'a.'):
        x=copy.deepcopy(o); x['metadata'].pop('name'); x['metadata']['generateName']=g
        both('POST',p,x,name=f'{k} generateName={sv(g)}',sec='1e names',ignore=lambda o:o.get('metadata',{}).pop('name',None) if o.get('kind')!='Status' else None)
def meta():
    o=OBJS[0]; p=coll(o)+'?dryRun=All&fieldValidation=Strict'
    td=json.load(open(G+'core.v1.ConfigMap.json'))
    M={'labels':[{'Bad Key':'x'},{'a':'bad value!'},{'a':'x'*64},{'/a':'x'},{'a/':'x'},{'a/b/c':'x'},{'a'*254+'/b':'x'},{'':'x'},{'kubernetes.io/a':''},{'a':5},{'a':None},[],'x'],
     'annotations':[{'Bad Key':'x'},{'a':'x'*300000},{'A.B/C':'x'},{'a':None},{'a':5}],
     'finalizers':[['a'],['a/b'],['kubernetes'],['bad fin/x'],[''],['orphan','foregroundDeletion'],['a/b','a/b'],'x',[None]],
     'ownerReferences':[[{}],[{'apiVersion':'v1','kind':'Pod','name':'a','uid':'u'}],[{'apiVersion':'v1','kind':'Event','name':'a','uid':'u'}],[{'apiVersion':'v1','kind':'Pod','name':'a','uid':'u','controller':True},{'apiVersion':'v1','kind':'Pod','name':'b','uid':'v','controller':True}],[{'apiVersion':'v1','kind':'Pod','name':'a','uid':'u'},{'apiVersion':'v1','kind':'Pod','name':'a','uid':'u'}],[{'apiVersion':'a/b/c','kind':'Pod','name':'a','uid':'u'}],[{'apiVersion':'v1','kind':'Pod','name':'','uid':''}]],
     'generation':[5,-1],'uid':['x',''],'resourceVersion':['1','x','0',''],'creationTimestamp':['2024-01-01T00:00:00Z',None,'x'],'deletionTimestamp':['2024-01-01T00:00:00Z'],'deletionGracePeriodSeconds':[5,-1],'selfLink':['/a'],'namespace':['','ns2','Bad_'],'generateName':['ok-'],
     'managedFields':[[{}],[],[{'manager':'a','operation':'Update','apiVersion':'v1','fieldsType':'FieldsV1','fieldsV1':{'f:data':{}}}],[{'manager':'a'*200,'operation':'Update','apiVersion':'v1','fieldsType':'FieldsV1'}],[{'manager':'a','operation':'Bad','apiVersion':'v1'}],[{'manager':'a','operation':'Update','fieldsType':'X'}],[{'manager':'a\n','operation':'Apply','subresource':'x'*300}]],'zz':[1]}
    for f,vs in M.items():
        for v in vs:
            x=copy.deepcopy(o); x['metadata'][f]=v; both('POST',p,x,name=f'metadata.{f}={sv(v)}',sec='1f metadata')
            x=copy.deepcopy(OBJS[5-1]); x['metadata'][f]=v; both('POST',coll(x)+'?dryRun=All&fieldValidation=Strict',x,name=f'pod metadata.{f}={sv(v)}',sec='1f metadata')
def fv():
    o={'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'x','zz':1},'data':{'a':'b'},'yy':2}
    for q in ('','Ignore','Warn','Strict','Bad'):
        for body in (json.dumps(o),'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","name":"y"},"data":{"a":"1","a":"2"}}','{"apiVersion":"v1","kind":"ConfigMap","metadata":{"Name":"x"},"Data":{"a":"1"}}','{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":1}}'):
            both('POST','/api/v1/namespaces/ns1/configmaps?dryRun=All'+('&fieldValidation='+q if q else ''),body,name=f'fieldValidation={q} {body[:70]}',sec='1g strict')
            y=yaml.safe_dump(o) if body.startswith('{"apiVersion": ') else 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n  a: "1"\n  a: "2"\n'
            both('POST','/api/v1/namespaces/ns1/configmaps?dryRun=All'+('&fieldValidation='+q if q else ''),y,ctype='application/yaml',name=f'fieldValidation={q} yaml {y[:70]}',sec='1g strict')
    for b in ['','{','[]','null','"x"','{}','5','{"kind":"ConfigMap"}','{"apiVersion":"v1"}','{"apiVersion":"v2","kind":"ConfigMap"}','{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"}}','{"apiVersion":"v1","kind":"Nope"}','{"apiVersion":"a/b/c","kind":"ConfigMap"}','{"apiVersion":"apps/v1","kind":"ConfigMap","metadata":{"name":"x"}}','{"metadata":{"name":"nokind"}}','{"apiVersion":"v1","kind":"ConfigMap","metadata":"x"}','{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":5}}','{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"b"}} trailing','{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":[]}','{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"binaryData":{"a":"***"}}','{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"immutable":"yes"}','\xff\xfe','k8s\x00','{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"a":"\\ud800"}}']:
        for ct in ('application/json','application/yaml','application/vnd.kubernetes.protobuf','text/plain',None,'application/cbor','application/json; charset=utf-8','application/json;stream=watch'):
            if ct not in('application/json','application/yaml') and b not in('{}','','k8s\x00'): continue
            both('POST','/api/v1/namespaces/ns1/configmaps?dryRun=All',b,ctype=ct,name=f'body {b[:60]!r} as {ct}',sec='1g strict')
TEMPL={'Deployment','ReplicaSet','DaemonSet','StatefulSet','ReplicationController','Job','CronJob','PodTemplate'}
def tdfile(o):
    av=o['apiVersion']; g,v=('core','v1') if av=='v1' else av.split('/')
    f=f'{G}{g}.{v}.{o["kind"]}.json'
    return json.load(open(f)) if os.path.exists(f) else None
def run():
    ch=os.environ.get('CH','all')
    if ch in('all','meta'): meta(); fv()
    for i,o in enumerate(OBJS+EPHS):
        if ch not in ('all',str(i)): continue
        mutate(o,'1c mutate')
        if o not in EPHS: names(o)
        td=tdfile(o)
        if td is None: print('no testdata',o['kind']); continue
        graft(o,td,'1d graft',skip=('.template.','.jobTemplate.spec.template') if o['kind'] in TEMPL else ())
