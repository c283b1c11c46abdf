"""Lists, watches, selectors, tables, media types, odd paths and methods."""
from res import *
import lib
from s2 import MP
import threading, socket, yaml
TBL='application/json;as=Table;g=meta.k8s.io;v=v1'
POM='application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1'
POML='application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'
def agecell(o):
    """normalise ages"""
    if isinstance(o,dict) and o.get('kind')=='Table':
        for i,c in enumerate(o.get('columnDefinitions') or []):
            if c.get('name') in('Age','Last Seen','First Seen','Duration'):
                for r in o.get('rows') or []:
                    r['cells']=['<ip>' if re.fullmatch(r'10\.\d+\.\d+\.\d+',str(x)) else x for x in r['cells']]
                    if i<len(r['cells']) and re.fullmatch(r'\d+[smhdy].*',str(r['cells'][i])): r['cells'][i]='<age>'
def ages(events):
    """The first table of a watch names the columns of all."""
    tables=[e['object'] for e in events if isinstance(e,dict) and isinstance(e.get('object'),dict) and e['object'].get('kind')=='Table']
    for t in tables:
        own=t.get('columnDefinitions'); t['columnDefinitions']=own or tables[0].get('columnDefinitions')
        agecell(t); t['columnDefinitions']=own
    return events
def errpaths():
    for m in ('GET','POST','PUT','PATCH','DELETE','OPTIONS','HEAD','FOO'):
        for p in ('/api/v1/namespaces/ns1/configmaps','/api/v1/namespaces/ns1/configmaps/none','/api/v1/configmaps','/api/v1/configmaps/none','/api/v1/nodes','/api/v1/nodes/none','/api/v1/nodes/none/status','/api/v1/namespaces/ns1/pods/none/log','/api/v1/namespaces/ns1/pods/none/exec','/api/v1/namespaces/ns1/pods/none/eviction','/api/v1/namespaces/ns1/pods/none/binding','/api/v1/namespaces/ns1/bindings','/api/v1/namespaces/ns1/pods/none/ephemeralcontainers','/api/v1/namespaces/ns1/pods/none/resize','/api/v1/namespaces/ns1/pods/none/nope','/api/v1/namespaces/ns1/nope','/api/v1/namespaces/ns1/nope/x','/api/v1/nope','/api/v2','/api/v1/','/apis/','/apis/nope','/apis/apps','/apis/apps/','/apis/apps/v2','/apis/apps/v1/deployments','/apis/apps/v1/namespaces/ns1/deployments/none/scale','/apis/apps/v1/namespaces/ns1/deployments/none/status','/apis/authorization.k8s.io/v1/subjectaccessreviews','/apis/authorization.k8s.io/v1/subjectaccessreviews/x','/apis/authentication.k8s.io/v1/tokenreviews','/api/v1/namespaces/none/finalize','/api/v1/namespaces/none/status','/api/v1/namespaces/none','/api/v1/namespaces','/api/v1/componentstatuses','/api/v1/componentstatuses/x','/api/v1/namespaces/ns1/serviceaccounts/none/token','/version','/healthz','/metrics','/nope','/openapi/v2','/api/v1/namespaces/ns1/services/none/proxy','/api/v1/namespaces/ns1/services/none/proxy/x','/api/v1/watch/configmaps','/api/v1/proxy/nodes/x','/api/v1/namespaces//configmaps','//api/v1','/api/v1/namespaces/ns1/configmaps/','/api/v1/namespaces/ns1/configmaps/a/b/c','/api/v1/namespaces/ns1/configmaps/a%2Fb','/api/v1/namespaces/ns1/configmaps/%20','/apis/certificates.k8s.io/v1/certificatesigningrequests/none/approval','/apis/apiextensions.k8s.io/v1/customresourcedefinitions/none/status','/apis/example.com/v1/foos'):
            if m=='GET' and ('watch' in p) or m=='FOO' and p not in('/api/v1/nodes','/nope'): continue
            if m=='DELETE' and p in('/api/v1/namespaces/ns1/configmaps','/api/v1/nodes'): p+='?dryRun=All'
            if p=='/metrics' and m=='GET': continue
            body='{}' if m in('POST','PUT','PATCH') else None
            both(m,p,body,ctype=MP if m=='PATCH' else 'application/json',name=f'{m} {p}',sec='4e odd paths')
    for acc in ('text/plain','application/xml','*/*','application/*','application/yaml','application/vnd.kubernetes.protobuf','application/json;as=Nope','application/json;as=Table','application/json;as=Table;g=meta.k8s.io;v=v2','application/json;as=Table;g=meta.k8s.io;v=v1beta1',TBL+',application/json','text/html,application/json;q=0.5','application/json;q=0','','application/json;pretty=1','application/cbor','application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1',POM,'application/json;stream=watch','application/json;profile=nominal','text/html'):
        for p in ('/api/v1/namespaces/kube-system','/api/v1/namespaces','/api/v1/namespaces/none','/api/v1','/version','/healthz','/nope'):
            both('GET',p,accept=acc,name=f'accept {acc!r} {p}',sec='4e accept',ignore=agecell) if not('protobuf' in acc) else None
    for q in ('pretty=true','pretty=false','pretty','dryRun=All','dryRun=Bad','fieldManager=x','nope=1','timeout=1s','timeout=bad','timeout=-1s','timeout=0'):
        both('GET','/api/v1/namespaces/kube-system?'+q,name='get ?'+q,sec='4e query')
        both('POST','/api/v1/namespaces?dryRun=All&'+q,{'metadata':{'name':'qq'}},name='post ?'+q,sec='4e query')
        both('DELETE','/api/v1/namespaces/ns2?dryRun=All&'+q,name='delete ?'+q,sec='4e query')
    for q in ('gracePeriodSeconds=-1','gracePeriodSeconds=x','propagationPolicy=Bad','orphanDependents=true','orphanDependents=x','preconditions.uid=a','ignoreStoreReadErrorWithClusterBreakingPotential=true'):
        both('DELETE','/api/v1/namespaces/ns1/configmaps/l0?dryRun=All&'+q,name='delete cm ?'+q,sec='4e query')
    for h in ({'Impersonate-User':'bob'},{'Impersonate-Group':'g'},{'Impersonate-User':'bob','Impersonate-Group':'system:masters'},{'Impersonate-User':'system:serviceaccount:ns1:default'},{'Impersonate-Uid':'x'},{'Impersonate-User':''},{'Impersonate-User':'bob','Impersonate-Extra-Scopes':'a'},{'Authorization':'Bearer bad'},{'Authorization':'Basic YTpi'},{'Impersonate-User':'system:anonymous'},{'Impersonate-User':'system:node:n1','Impersonate-Group':'system:nodes'}):
        for m,p,b in (('GET','/api/v1/namespaces/ns1/configmaps',None),('POST','/apis/authentication.k8s.io/v1/selfsubjectreviews',{}),('GET','/api/v1/nodes/n1',None),('GET','/version',None),('GET','/nope',None),('GET','/api/v1/namespaces/ns1/pods/x/log',None),('DELETE','/api/v1/namespaces/ns1/configmaps',None),('PATCH','/apis/apps/v1/namespaces/ns1/deployments/d/scale',{}),('POST','/apis/rbac.authorization.k8s.io/v1/namespaces/ns1/roles?dryRun=All',{'metadata':{'name':'esc'},'rules':[{'apiGroups':['*'],'resources':['*'],'verbs':['*']}]}),('GET','/api/v1/namespaces/ns1/secrets/none',None),('POST','/apis/authorization.k8s.io/v1/selfsubjectrulesreviews',{'spec':{'namespace':'ns1'}})):
            both(m,p,b,ctype=MP if m=='PATCH' else 'application/json',hdr=h,name=f'{m} {p} {h}',sec='4f authn/z')
def lists():
    setsec('4a list')
    C='/api/v1/namespaces/nsl/configmaps'
    both('POST','/api/v1/namespaces',{'metadata':{'name':'nsl'}},cmp=False); both('POST','/api/v1/namespaces/nsl/serviceaccounts',{'metadata':{'name':'default'}},cmp=False)
    both('DELETE',C,cmp=False)
    rvs=[]
    for i in range(7):
        a,b=both('POST',C,{'metadata':{'name':f'l{i}','labels':{'i':str(i),'even':'yes' if i%2==0 else 'no'}},'data':{'i':str(i)}},cmp=False); rvs.append((a.js['metadata']['resourceVersion'],b.js['metadata']['resourceVersion']))
    mid=rvs[3]; fut=('999999999','999999999')
    def q2(q,**kw):
        qa,qb=q
        return both('GET',C,paths=(C+'?'+qa,C+'?'+qb),**kw)
    for rvn,rv in (('none',None),('empty',('','')),('0',('0','0')),('mid',mid),('future',fut),('bad',('x','x')),('neg',('-1','-1')),('1',('1','1'))):
        for m in (None,'','Exact','NotOlderThan','Bad'):
            for lim in (None,0,3,-1,'x',100):
                for cont in (None,'bad'):
                    def mk(i):
                        s=[]
                        if rv is not None: s.append('resourceVersion='+rv[i])
                        if m is not None: s.append('resourceVersionMatch='+m)
                        if lim is not None: s.append(f'limit={lim}')
                        if cont: s.append('continue='+cont)
                        return '&'.join(s)
                    if rvn=='future' and lim not in(None,3): continue
                    q2((mk(0),mk(1)),name=f'list rv={rvn} match={m} limit={lim} continue={cont}')
    # paging
    a,b=both('GET',C+'?limit=3',name='page 1')
    for n in range(4):
        ca,cb=(x.js['metadata'].get('continue') for x in (a,b))
        if not ca or not cb: break
        qa,qb=urllib.parse.quote(ca),urllib.parse.quote(cb)
        for extra in ('','&resourceVersion=0','&resourceVersion=5','&resourceVersionMatch=Exact','&labelSelector=even%3Dyes'): q2((f'limit=3&continue={qa}{extra}',f'limit=3&continue={qb}{extra}'),name=f'page {n+2} {extra}')
        if n==0:
            both('DELETE',C+'/l4',cmp=False)
            dec=lambda s:json.loads(base64.urlsafe_b64decode(s+'=='))
            R.n+=1; da,db=dec(ca),dec(cb); da['rv']=db['rv']=0
            if da!=db: R.classes['continue-token']+=1; R.recs.append({"sec":lib.SEC,'name':'continue token','cls':'continue-token','req':'','cox':200,'up':200,'bodies':[str(da),str(db)]})
        a,b=q2((f'limit=3&continue={qa}',f'limit=3&continue={qb}'),name=f'page {n+2}')
    both('GET',C+'?limit=2&labelSelector=even%3Dyes',name='limit with selector (remaining)'); both('GET',C+'?limit=2&fieldSelector=metadata.name!%3Dl0',name='limit with fs')
    for ls in ('a','!a','a=b','a==b','a!=b','a in (b,c)','a notin (b)','a>1','a<x','i>3','i<3','a=b,c=d','a in ()','a in (b','=b','a=','a,','a b','a=b c','(a)','a in b','-a','a/b/c','a='+'x'*70,'é','a=b;c','a=b=c','!a=b','exists a','a in (b,,c)','a > 1.5',',',' ','a=!','a in(b)','even in (yes),i notin (0)','kubernetes.io/metadata.name=nsl','a=in','in','notin','a=notin'):
        both('GET',C+'?labelSelector='+urllib.parse.quote(ls),name=f'labelSelector {ls!r}',sec='4b selectors')
    for fs in ('metadata.name=l0','metadata.namespace=nsl','metadata.name!=l0','metadata.name=l0,metadata.name=l1','spec.x=1','metadata.labels.a=b','metadata.name','metadata.name in (l0)','=x','metadata.name=','metadata.name=a\\,b','metadata.name==l0',',','metadata.uid=x','a','metadata.name=a\\'):
        both('GET',C+'?fieldSelector='+urllib.parse.quote(fs),name=f'fieldSelector {fs!r}',sec='4b selectors')
    FS='metadata.name metadata.namespace spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork status.phase status.podIP status.podIPs status.nominatedNodeName spec.unschedulable spec.clusterIP spec.type type involvedObject.kind involvedObject.name involvedObject.namespace involvedObject.uid involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent source status.successful status.replicas spec.signerName spec.driver spec.group name regarding.kind'.split()
    for (gv,k),(pre,pl,nsd,verbs,_) in RES.items():
        if 'list' not in verbs: continue
        for f in FS: both('GET',f'{pre}/{pl}?fieldSelector={f}%3Dx',name=f'{gv} {k} fieldSelector {f}',sec='4b selectors',cmpct=True)
    for v in ('true','false','True','1','x',''): both('GET','/api/v1/pods?fieldSelector='+urllib.parse.quote('spec.hostNetwork='+v),name=f'fs spec.hostNetwork={v}',sec='4b selectors'); both('GET','/api/v1/nodes?fieldSelector='+urllib.parse.quote('spec.unschedulable='+v),name=f'fs unschedulable={v}',sec='4b selectors')
    # deletecollection
    both('DELETE',C+'?labelSelector=i%3D6&dryRun=All',name='deletecollection dry'); both('DELETE',C+'?labelSelector=i%3D6',name='deletecollection'); both('DELETE',C+'?labelSelector=i%20in%20(',name='deletecollection bad'); both('DELETE',C+'?limit=1&dryRun=All',name='deletecollection limit 1'); both('DELETE',C,{'propagationPolicy':'Bad'},name='deletecollection bad policy'); both('GET',C,name='list after'); 
    return mid
def tables():
    setsec('4c tables')
    made=[]
    for o in OBJS:
        o=copy.deepcopy(o); 
        if o['metadata']['name']=='x': o['metadata']['name']='t'
        if RES[(o['apiVersion'],o['kind'])][2] and o['kind'] not in('LimitRange','ResourceQuota'): o['metadata']['namespace']='nsl'
        o['metadata']['labels']={'tt':'1'}
        p=coll(o); a,b=both('POST',p,o,cmp=False); made.append((o,p))
    td=__import__('s1b').tdfile
    for o,p in made:
        k=o['apiVersion']+' '+o['kind']; n=o['metadata']['name']
        for acc,an in ((TBL,'Table'),(TBL+',application/json','Table,json'),(POML,'POML'),('application/json;as=Table;g=meta.k8s.io;v=v1beta1','v1beta1')):
            for io in ('','&includeObject=None','&includeObject=Object','&includeObject=Metadata','&includeObject=Bad'):
                if an!='Table' and io: continue
                both('GET',p+'?labelSelector=tt%3D1'+io,accept=acc,name=f'{k} list {an} {io}',ignore=agecell)
        both('GET',p+'/'+n,accept=TBL,name=f'{k} get Table',ignore=agecell)
        both('GET',p+'/'+n,accept=POM,name=f'{k} get POM')
        # with status
        s=RES[(o['apiVersion'],o['kind'])]
        if 'status' in s[4]:
            t=td(o)
            if t and 'status' in t:
                both('PATCH',p+'/'+n+'/status',{'status':t['status']},ctype=MP,cmp=False)
                both('GET',p+'/'+n,accept=TBL,name=f'{k} get Table with testdata status',ignore=agecell)
    # pods in many states
    P='/api/v1/namespaces/nsl/pods'
    def cs(**st): return [{'name':'c','image':'i','imageID':'','ready':st.pop('ready',False),'restartCount':st.pop('rc',0),**({'lastState':st.pop('last')} if 'last' in st else {}),'state':st}]
    states=[{'phase':'Running','podIP':'1.2.3.4','podIPs':[{'ip':'1.2.3.4'}],'containerStatuses':cs(running={'startedAt':'2024-01-01T00:00:00Z'},ready=True)},{'phase':'Pending','containerStatuses':cs(waiting={'reason':'ImagePullBackOff'})},{'phase':'Running','containerStatuses':cs(waiting={'reason':'CrashLoopBackOff'},rc=5,last={'terminated':{'exitCode':1,'finishedAt':'2024-01-01T00:00:00Z'}})},{'phase':'Failed','containerStatuses':cs(terminated={'exitCode':137,'signal':9})},{'phase':'Failed','containerStatuses':cs(terminated={'exitCode':137})},{'phase':'Failed','reason':'Evicted'},{'phase':'Succeeded','containerStatuses':cs(terminated={'exitCode':0,'reason':'Completed'})},{'phase':'Pending','initContainerStatuses':[{'name':'i','image':'i','imageID':'','ready':False,'restartCount':2,'state':{'waiting':{'reason':'PodInitializing'}}}]},{'phase':'Pending','initContainerStatuses':[{'name':'i','image':'i','imageID':'','ready':False,'restartCount':2,'state':{'terminated':{'exitCode':3}}}]},{'phase':'Pending','initContainerStatuses':[{'name':'i','image':'i','imageID':'','ready':False,'restartCount':2,'state':{'waiting':{'reason':'CrashLoopBackOff'}}}]},{'phase':'Pending','conditions':[{'type':'PodScheduled','status':'False','reason':'SchedulingGated'}]},{'phase':'Running','conditions':[{'type':'Ready','status':'True'}],'containerStatuses':cs(terminated={'exitCode':0,'reason':'Completed'})},{'phase':'Unknown','nominatedNodeName':'nn'}]
    for i,st in enumerate(states):
        both('PATCH',P+'/t/status',{'status':st},ctype=MP,cmp=False)
        both('GET',P+'/t',accept=TBL,name=f'pod Table state {i} {sv_(st)}',ignore=agecell)
        both('PATCH',P+'/t/status',{'status':{k:None for k in st}},ctype=MP,cmp=False)
    for sp in ({'type':'LoadBalancer'},{'type':'NodePort'},{'type':'ExternalName','externalName':'a.b'},{'clusterIP':'None'},{'externalIPs':['1.2.3.4']}):
        b={'apiVersion':'v1','kind':'Service','metadata':{'name':'ts'},'spec':{'selector':{'a':'b'},'ports':[{'port':80,'name':'a'},{'port':81,'protocol':'UDP','name':'b'}],**sp}}
        both('POST','/api/v1/namespaces/nsl/services',b,name=f'svc {sp}'); 
        def ig(o):
            agecell(o)
            if o.get('kind')=='Table':
                for r in o['rows']: r['cells']=[re.sub(r'10\.\d+\.\d+\.\d+','<ip>',re.sub(r':3\d{4}/',':<np>/',str(c))) for c in r['cells']]
        both('GET','/api/v1/namespaces/nsl/services/ts',accept=TBL,name=f'svc Table {sp}',ignore=ig); both('PATCH','/api/v1/namespaces/nsl/services/ts/status',{'status':{'loadBalancer':{'ingress':[{'ip':'5.6.7.8'},{'hostname':'h.example'}]}}},ctype=MP,name=f'svc status {sp}'); both('GET','/api/v1/namespaces/nsl/services/ts',accept=TBL,name=f'svc Table lb {sp}',ignore=ig); both('DELETE','/api/v1/namespaces/nsl/services/ts',name=f'svc delete {sp}')
    for o,p in made: 
        both('DELETE',p+'/'+o['metadata']['name']+'?gracePeriodSeconds=0',cmp=False); both('PATCH',p+'/'+o['metadata']['name'],{'metadata':{'finalizers':None}},ctype=MP,cmp=False)
def sv_(x): return json.dumps(x)[:80]
def jl(buf):
    out=[]
    for l in buf.split(b'\n'):
        if not l.strip(): continue
        try: out.append(json.loads(l))
        except Exception: out.append(normstr(l.decode('utf8','replace')))
    return out
def watch(srv,path,dur=1.2,accept='application/json',act=None):
    c=http.client.HTTPSConnection(srv.host,context=srv.ctx,timeout=dur)
    try:
        c.request('GET',path,headers={'Accept':accept}); r=c.getresponse(); st=r.status; ct=r.getheader('Content-Type')
    except Exception as e: return -1,'',repr(e)[:40],[]
    if st!=200: 
        try: b=r.read()
        except Exception as e: b=repr(e).encode()
        return st,ct,b.decode('utf8','replace'),[]
    if act: act()
    buf=b''; end=False
    t=time.time()
    try:
        while time.time()-t<dur:
            x=r.read1(65536)
            if not x: end=True; break
            buf+=x
    except Exception: pass
    c.close()
    return st,ct,'closed' if end else 'open',jl(buf)
def watches(mid):
    setsec('4d watch')
    from concurrent.futures import ThreadPoolExecutor
    C='/api/v1/namespaces/nsl/configmaps'
    for n in ('w0','w1'): both('POST',C,{'metadata':{'name':n,'labels':{'w':'1'}}},cmp=False)
    cases=[]
    for rvn,rv in (('none',None),('empty',('','')),('0',('0','0')),('mid',mid),('1',('1','1')),('future',('999999999',)*2),('bad',('x','x'))):
        for m in (None,'Exact','NotOlderThan','Bad'):
            for sie in (None,'true','false','x'):
                for bm in (None,'true','x'):
                    if bm=='x' and (m or sie): continue
                    s=['watch=true','timeoutSeconds=1']
                    if m: s.append('resourceVersionMatch='+m)
                    if sie: s.append('sendInitialEvents='+sie)
                    if bm: s.append('allowWatchBookmarks='+bm)
                    q='&'.join(s); cases.append((f'rv={rvn} match={m} sie={sie} bm={bm}',tuple(C+'?'+q+('&resourceVersion='+rv[i] if rv is not None else '') for i in (0,1)),'application/json'))
    for extra in ('watch=1','watch=0','watch=x','watch','timeoutSeconds=x','timeoutSeconds=-1','timeoutSeconds=0','limit=3','continue=a','labelSelector=w%3D1','labelSelector=w%20in','fieldSelector=metadata.name%3Dw0','fieldSelector=bad.x%3D1'):
        cases.append((f'watch {extra}',(C+'?watch=true&timeoutSeconds=1&'+extra,)*2 if not extra.startswith(('watch','timeout')) else (C+'?'+('watch=true&' if extra.startswith('timeout') else 'timeoutSeconds=1&')+extra,)*2,'application/json'))
    for acc in (TBL,POM,POML,'application/json;stream=watch','application/yaml','text/plain',TBL+',application/json'):
        cases.append((f'watch accept {acc}',(C+'?watch=true&timeoutSeconds=1',)*2,acc))
    for p in ('/api/v1/watch/namespaces/nsl/configmaps','/api/v1/watch/configmaps','/api/v1/watch/namespaces/nsl/configmaps/w0','/api/v1/namespaces/nsl/configmaps/w0?watch=true','/api/v1/watch/namespaces/nsl','/api/v1/watch/nope','/api/v1/nodes?watch=true','/apis/authorization.k8s.io/v1/subjectaccessreviews?watch=true','/api/v1/componentstatuses?watch=true','/api/v1/namespaces/nsl/bindings?watch=true'):
        cases.append((f'watch path {p}',(p+('&' if '?' in p else '?')+'timeoutSeconds=1',)*2,'application/json'))
    def one(c):
        n,(pa,pb),acc=c
        return n,(pa,pb),watch(COX,pa,2.6,acc),watch(UP,pb,2.6,acc)
    with ThreadPoolExecutor(12) as ex: rs=list(ex.map(one,cases))
    for n,ps,a,b in rs:
        R.n+=1; R.bysec[lib.SEC][0]+=1
        def nz(x):
            st,ct,body,ev=x
            try: body=norm(yaml.load(body,yaml.BaseLoader) if 'yaml' in ct else json.loads(body))
            except Exception: body=normstr(body or '')
            ev=ages([norm(e) for e in ev])
            # initial events come in any order
            return st,(ct or ''),body,ev
        na,nb=nz(a),nz(b)
        if na!=nb:
            cls=f'status {na[0]} vs {nb[0]}' if na[0]!=nb[0] else 'watch-ctype' if na[1]!=nb[1] else 'watch-events' if na[3]!=nb[3] else 'watch-body'
            R.classes[cls]+=1; R.bysec[lib.SEC][1]+=1
            R.recs.append({"sec":lib.SEC,'name':'watch '+n,'cls':cls,'req':ps[1],'cox':na[0],'up':nb[0],'diffs':[(p,short(x,300),short(y,300)) for p,x,y in diffs({'ct':na[1],'b':na[2],'ev':na[3]},{'ct':nb[1],'b':nb[2],'ev':nb[3]})[:8]]})
        else: R.same+=1
    # live events
    def seq(srv,which):
        i=0 if which=='a' else 1
        evs=None
        def act():
            h={'Content-Type':'application/json','Accept':'application/json'}
            def rq(m,p,b=None,ct='application/json'):
                srv.send(m,p,json.dumps(b).encode() if b is not None else None,{**h,'Content-Type':ct}); return srv.recv()
            rq('POST',C,{'metadata':{'name':'e1','labels':{'s':'1'}}}); rq('PATCH',C+'/e1',{'data':{'a':'1'}},MP); rq('PATCH',C+'/e1',{'metadata':{'labels':{'s':'2'}}},MP); rq('PATCH',C+'/e1',{'metadata':{'labels':{'s':'1'}}},MP); rq('PATCH',C+'/e1',{'metadata':{'labels':{'s':'1'}}},MP); rq('DELETE',C+'/e1')
        return act
    for q in ('labelSelector=s%3D1','fieldSelector=metadata.name%3De1',''):
        for acc in ('application/json',TBL,POM):
            rv=both('GET',C,cmp=False); rs=[]
            for srv,w,i in ((COX,'a',0),(UP,'b',1)): rs.append(watch(srv,C+'?watch=true&timeoutSeconds=2&resourceVersion='+rv[i].js['metadata']['resourceVersion']+'&'+q,3,acc,seq(srv,w)))
            a,b=[(x[0],x[1],ages([norm(e) for e in x[3]])) for x in rs]
            R.n+=1; R.bysec[lib.SEC][0]+=1
            if a!=b: R.classes['watch-events']+=1; R.bysec[lib.SEC][1]+=1; R.recs.append({"sec":lib.SEC,'name':f'live watch {q} {acc}','cls':'watch-events','req':q,'cox':a[0],'up':b[0],'diffs':[(p,short(x,300),short(y,300)) for p,x,y in diffs({'ct':a[1],'ev':a[2]},{'ct':b[1],'ev':b[2]})[:8]]})
            else: R.same+=1
def run():
    mid=lists()
    print('lists',flush=True); tables(); print('tables',flush=True); watches(mid); print('watches',flush=True); errpaths()
