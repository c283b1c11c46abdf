"""Updates: each field by PUT, by each form of patch and by apply; subresources, metadata, deletion."""
from res import *
import s1b
from s1b import leaves,setp,getp,delp,pstr,sv,tdfile,vals
MP='application/merge-patch+json'; JP='application/json-patch+json'; SP='application/strategic-merge-patch+json'; AP='application/apply-patch+yaml'
def nest(path,v):
    o=v
    for p in reversed(path): o={p:o} if not isinstance(p,int) else [o]
    return o
def chg(v):
    if isinstance(v,bool): return not v
    if isinstance(v,(int,float)): return v+1
    if isinstance(v,str): return v+'2'
    return None
def live(p):
    a,b=both('GET',p,cmp=False)
    return a.js,b.js
def kindtests(o):
    k=o['apiVersion']+' '+o['kind']; c=coll(o); n=o['metadata']['name']; p=c+'/'+n
    pre,pl,nsd,verbs,subs=RES[(o['apiVersion'],o['kind'])]
    o=copy.deepcopy(o)
    if o['kind']=='Pod':
        o['spec']['serviceAccountName']='default'
    a,b=both('POST',c,o,name=f'{k} create')
    if b.status>=300 or a.status>=300: print('create failed',k,a.status,b.status,a.body[:200],b.body[:200]); return
    la,lb=a.js,b.js
    if o['kind']=='FlowSchema':
        # A controller of both servers writes its status at once: not in the midst of the comparisons.
        for _ in range(50):
            la,lb=live(p)
            if all('Dangling' in json.dumps(x.get('status',{})) for x in (la,lb)): break
            time.sleep(0.1)
    if o['kind'] in ('CustomResourceDefinition','APIService'):
        # Upstream's controllers write their status: not in the midst of the comparisons.
        still=0
        for _ in range(50):
            was=lb['metadata']['resourceVersion']; time.sleep(0.1); la,lb=live(p)
            still=still+1 if lb['metadata']['resourceVersion']==was else 0
            if still>=8: break
    if nsd is not None:
        # real PUT of unchanged, then label change, generation
        both('PUT',p,bodies=(la,lb),name=f'{k} PUT unchanged')
    la,lb=live(p)
    D='?dryRun=All&fieldValidation=Strict'
    strip={'apiVersion','kind','status'}
    paths=[(x,v) for x,v in leaves({q:w for q,w in lb.items() if q not in strip}) if not (x[0]=='metadata' and len(x)>1 and x[1] in('managedFields','creationTimestamp','annotations'))]
    allp=[]
    for x,v in paths:
        for i in range(1,len(x)):
            if x[:i] not in allp and x[:i]!=('metadata',): allp.append(x[:i])
    for x in allp:
        try: both('PUT',p+D,bodies=(delp(la,x),delp(lb,x)),name=f'{k} PUT remove {pstr(x)}')
        except (KeyError,TypeError,IndexError): pass
    for x,v in paths:
        nv=chg(v)
        try:
            da,db=setp(la,x,nv),setp(lb,x,nv)
        except Exception: continue
        both('PUT',p+D,bodies=(da,db),name=f'{k} PUT {pstr(x)}={sv(nv)}')
        try: both('PUT',p+D,bodies=(delp(la,x),delp(lb,x)),name=f'{k} PUT remove {pstr(x)}')
        except (KeyError,TypeError): pass
        both('PATCH',p+D,nest(x,nv),ctype=MP,name=f'{k} merge {pstr(x)}={sv(nv)}')
        both('PATCH',p+D,nest(x,None),ctype=MP,name=f'{k} merge {pstr(x)}=null')
        ptr='/'+'/'.join(str(q).replace('~','~0').replace('/','~1') for q in x)
        both('PATCH',p+D,[{'op':'replace','path':ptr,'value':nv}],ctype=JP,name=f'{k} jsonpatch replace {ptr}')
        both('PATCH',p+D,[{'op':'remove','path':ptr}],ctype=JP,name=f'{k} jsonpatch remove {ptr}')
        if not any(isinstance(q,int) for q in x): both('PATCH',p+D,nest(x,nv),ctype=SP,name=f'{k} strategic {pstr(x)}={sv(nv)}')
    # grafts by PUT
    td=tdfile(o)
    if td:
        have={x for x,_ in paths}; cnt=0
        skip=('.template.','.jobTemplate.spec.template') if o['kind'] in s1b.TEMPL else ()
        for x,v in leaves({q:w for q,w in td.items() if q not in('apiVersion','kind','metadata','status')}):
            if x in have or any(t in pstr(x) for t in skip): continue
            vs=[True] if isinstance(v,bool) else [5] if isinstance(v,int) else ['valid-name'] if isinstance(v,str) else [v]
            for w in vs: both('PUT',p+D,bodies=(setp(la,x,w),setp(lb,x,w)),name=f'{k} PUT graft {pstr(x)}={sv(w)}'); cnt+=1
            if cnt>400: break
    # apply each base leaf changed, by another manager
    AQ=p+'?dryRun=All&fieldManager=m2'
    base={'apiVersion':o['apiVersion'],'kind':o['kind'],'metadata':{'name':n}}
    both('PATCH',AQ,o,ctype=AP,name=f'{k} apply same by m2')
    both('PATCH',AQ,base,ctype=AP,name=f'{k} apply empty by m2')
    for x,v in leaves({q:w for q,w in o.items() if q not in('apiVersion','kind','metadata')}):
        both('PATCH',AQ,setp(o,x,chg(v)),ctype=AP,name=f'{k} apply {pstr(x)}={sv(chg(v))}')
        both('PATCH',AQ+'&force=true',setp(o,x,chg(v)),ctype=AP,name=f'{k} apply force {pstr(x)}={sv(chg(v))}')
    # metadata
    for m in ({'labels':{'n':'1'}},{'annotations':{'n':'1'}},{'finalizers':['a/b']},{'ownerReferences':[{'apiVersion':'v1','kind':'Pod','name':'a','uid':'u'}]},{'name':'other'},{'namespace':'other'},{'uid':'zz'},{'resourceVersion':'1'},{'resourceVersion':'abc'},{'generation':77},{'creationTimestamp':None},{'deletionTimestamp':'2024-01-01T00:00:00Z'},{'managedFields':[]},{'managedFields':[{}]},{'selfLink':'x'},{'generateName':'g-'},{'labels':{'bad key!':'x'}}):
        both('PATCH',p+D,{'metadata':m},ctype=MP,name=f'{k} merge metadata {sv(m)}')
    # generation: real spec + label + status
    both('PATCH',p,{'metadata':{'labels':{'g':'1'}}},ctype=MP,name=f'{k} real label patch')
    for s in subs:
        if s in('log','exec','attach','portforward','proxy','binding','eviction','token','resize','ephemeralcontainers','finalize','approval'): 
            both('GET',p+'/'+s,name=f'{k} GET /{s}') if s not in('log','exec','attach','portforward','proxy') else None
            continue
        both('GET',p+'/'+s,name=f'{k} GET /{s}')
        if s=='status':
            la,lb=live(p)
            both('PUT',p+'/status'+D,bodies=(la,lb),name=f'{k} PUT /status unchanged')
            both('PUT',p+'/status'+D,bodies=({**la,'metadata':{**la['metadata'],'labels':{'z':'z'}}},{**lb,'metadata':{**lb['metadata'],'labels':{'z':'z'}}}),name=f'{k} PUT /status labels')
            both('PATCH',p+'/status'+D,{'status':{'zz':1}},ctype=MP,name=f'{k} merge /status unknown')
            both('PATCH',p+'/status'+D,{'status':None},ctype=MP,name=f'{k} merge /status null')
            if 'spec' in lb:
                x,v=next(iter(leaves(lb['spec'])),((),None))
                if x: both('PATCH',p+'/status'+D,nest(('spec',)+x,chg(v)),ctype=MP,name=f'{k} merge /status spec change')
            if td and 'status' in td:
                both('PUT',p+'/status'+D,bodies=({**la,'status':td['status']},{**lb,'status':td['status']}),name=f'{k} PUT /status testdata')
                cnt=0
                for x,v in leaves(td['status']):
                    for w in vals(v,False)[:6]:
                        both('PUT',p+'/status'+D,bodies=(setp(la,('status',)+x,w),setp(lb,('status',)+x,w)),name=f'{k} PUT /status graft {pstr(x)}={sv(w)}',sec='2b status'); cnt+=1
                    if cnt>500: break
                both('PATCH',p+'/status?fieldManager=st',{**base,'status':td['status']},ctype=AP,name=f'{k} apply /status testdata',sec='2b status')
        if s=='scale':
            for v in (2,-1,0,'x',None): both('PATCH',p+'/scale'+D,{'spec':{'replicas':v}},ctype=MP,name=f'{k} merge /scale {v}')
            la,lb=both('GET',p+'/scale',cmp=False); la,lb=la.js,lb.js
            both('PUT',p+'/scale',bodies=(setp(la,('spec','replicas'),4),setp(lb,('spec','replicas'),4)),name=f'{k} PUT /scale')
            both('PUT',p+'/scale'+D,bodies=(setp(la,('metadata','resourceVersion'),'1'),setp(lb,('metadata','resourceVersion'),'1')),name=f'{k} PUT /scale stale')
            both('PUT',p+'/scale'+D,bodies=(setp(la,('metadata','name'),'oth'),setp(lb,('metadata','name'),'oth')),name=f'{k} PUT /scale other name')
            both('PATCH',p+'/scale?fieldManager=sc',{'apiVersion':'autoscaling/v1','kind':'Scale','metadata':{'name':n},'spec':{'replicas':5}},ctype=AP,name=f'{k} apply /scale')
            both('PATCH',p+'/scale?fieldManager=sc&force=true',{'apiVersion':'autoscaling/v1','kind':'Scale','metadata':{'name':n},'spec':{'replicas':5}},ctype=AP,name=f'{k} apply force /scale')
            both('GET',p,name=f'{k} after scale')
    # preconditions and finalizer deletion, real
    both('DELETE',p,{'preconditions':{'uid':'zz'}},name=f'{k} delete bad uid')
    both('DELETE',p,{'preconditions':{'resourceVersion':'1'}},name=f'{k} delete bad rv')
    both('DELETE',p,{'propagationPolicy':'Bad'},name=f'{k} delete bad policy')
    both('DELETE',p,{'propagationPolicy':'Orphan','orphanDependents':True},name=f'{k} delete both policies')
    both('DELETE',p+'?propagationPolicy=Foreground&dryRun=All',name=f'{k} delete foreground dry')
    both('DELETE',p+'?propagationPolicy=Orphan&dryRun=All',name=f'{k} delete orphan dry')
    both('PATCH',p,{'metadata':{'finalizers':['a.b/c']}},ctype=MP,name=f'{k} finalizer')
    both('DELETE',p,{'gracePeriodSeconds':5},name=f'{k} delete with finalizer')
    both('GET',p,name=f'{k} after delete with finalizer')
    both('DELETE',p,{'gracePeriodSeconds':0},name=f'{k} delete again')
    both('PATCH',p+D,{'metadata':{'finalizers':['a.b/c','d.e/f']}},ctype=MP,name=f'{k} add finalizer while deleting')
    both('PATCH',p+D,{'metadata':{'labels':{'n':'1'}}},ctype=MP,name=f'{k} label while deleting')
    both('PATCH',p,{'metadata':{'finalizers':[]}},ctype=MP,name=f'{k} remove finalizer')
    both('GET',p,name=f'{k} gone')
def run():
    setsec('2 update')
    ONLY=os.environ.get('KINDS','').split(',') if os.environ.get('KINDS') else None
    for o in OBJS:
        if ONLY and o['kind'] not in ONLY: continue
        o=copy.deepcopy(o)
        if o['metadata']['name']=='x': o['metadata']['name']='u'
        o['metadata'].setdefault('labels',{'l':'1'})
        try: kindtests(o)
        except Exception:
            import traceback; traceback.print_exc()
