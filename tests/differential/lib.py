"""Sends one request to both servers and compares the answers, normalised."""
import ssl, http.client, json, re, base64, yaml, sys, os, time, copy, tempfile, collections, urllib.parse
W=os.environ.get('DIFF_DIR') or os.path.join(os.getcwd(),'target','differential')
def load_conf(path):
    c=yaml.safe_load(open(path)); cl=c['clusters'][0]['cluster']; u=c['users'][0]['user']
    d=lambda s:base64.b64decode(s)
    host=cl['server'].split('//')[1]
    ctx=ssl.create_default_context(cadata=d(cl['certificate-authority-data']).decode()) if 'certificate-authority-data' in cl else ssl.create_default_context(cafile=os.path.join(os.path.dirname(path),cl['certificate-authority']))
    ctx.check_hostname=False
    if 'client-certificate-data' in u:
        f=tempfile.NamedTemporaryFile(delete=False,dir=W); f.write(d(u['client-certificate-data'])+b'\n'+d(u['client-key-data'])); f.close()
        ctx.load_cert_chain(f.name); os.unlink(f.name)
    else: ctx.load_cert_chain(os.path.join(os.path.dirname(path),u['client-certificate']),os.path.join(os.path.dirname(path),u['client-key']))
    return host,ctx
class Resp:
    __slots__=('status','headers','body','ctype','warn','js','raw')
WITHOUT_EFFECT='stored by this cluster, but not'
class Server:
    def __init__(s,name,conf):
        s.name=name; s.host,s.ctx=load_conf(conf); s.c=None
    def conn(s):
        if s.c is None:
            s.c=http.client.HTTPSConnection(s.host,context=s.ctx,timeout=30)
        return s.c
    def send(s,method,path,body,hdr):
        for i in (0,1):
            try:
                s.conn().request(method,path,body=body,headers=hdr); return
            except Exception as e:
                s.close()
                if i: s.err=repr(e)
    def close(s):
        try:
            if s.c: s.c.close()
        except Exception: pass
        s.c=None
    def recv(s):
        r=Resp()
        try:
            x=s.conn().getresponse(); r.status=x.status; r.body=x.read(); r.headers=x.getheaders()
            if x.will_close: s.close()
        except Exception as e:
            s.close(); r.status=-1; r.body=repr(e).encode(); r.headers=[]
        r.ctype=next((v for k,v in r.headers if k.lower()=='content-type'),'')
        # Meant: what is stored without effect yet says so.
        r.warn=sorted(v for k,v in r.headers if k.lower()=='warning' and WITHOUT_EFFECT not in v)
        r.js=None
        try:
            if 'json' in r.ctype: r.js=json.loads(r.body)
            # How long lines are folded is a matter of taste.
            elif 'yaml' in r.ctype: r.js=yaml.load(r.body,yaml.BaseLoader)
        except Exception: pass
        return r
UP=Server('up',W+'/up.conf'); COX=Server('cox',W+'/cox.d/kubeconfig/admin.conf')
UUID=re.compile(r'[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}')
TS=re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)')
YEAR=str(time.gmtime().tm_year)
# What generated names end in, after the prefixes that the comparisons use.
GEN=re.compile(r'\b(kube-api-access-|Bad_|ok-|a\.|a{58,})[bcdfghjklmnpqrstvwxz2456789]{5}\b')
# Revisions inside of messages, also of objects that these quote.
REVISION=re.compile(r'(in record \(|ResourceVersion in object meta: |\\"resourceVersion\\":\\")\d+')
# The order of keys in a patched object that a message shows says nothing.
PATCHED=re.compile(r'(Invalid value: )("\{\\"(?:[^"\\]|\\.)*")')
def sorted_keys(m):
    try: return m.group(1)+json.dumps(json.dumps(norm(json.loads(json.loads(m.group(2)))),sort_keys=True))
    except Exception: return m.group(0)
# The two servers' own addresses, wherever they name themselves.
PORTS={int(s.host.rsplit(':',1)[1]) for s in (UP,COX)}
SELF=re.compile(r'\b[\d.]+:(%s)\b'%'|'.join(map(str,sorted(PORTS))))
CURRENT=re.compile(r'(Too large resource version: \d+, current: )\d+')
def normstr(v):
    v=PATCHED.sub(sorted_keys,v)
    v=UUID.sub('<uuid>',v)
    v=SELF.sub('<self>',v)
    v=CURRENT.sub(r'\1<rv>',v)
    v=GEN.sub(lambda m:m.group(1)+'<gen>',v)
    v=TS.sub(lambda m:'<ts>' if m.group(0).startswith(YEAR) else m.group(0),v)
    v=REVISION.sub(lambda m:m.group(1)+'<rv>',v)
    return v
def norm(o,k=None,ctx=None):
    if isinstance(o,dict):
        r={}
        for a,b in o.items():
            if a=='resourceVersion' and isinstance(b,str) and b: r[a]='<rv>' if b!='0' else b
            elif a=='uid' and isinstance(b,str) and b and a!=b and UUID.fullmatch(b): r[a]='<uid>'
            elif a in('clusterIP',) and isinstance(b,str) and re.fullmatch(r'10\.\d+\.\d+\.\d+',b): r[a]='<ip>'
            elif a=='clusterIPs' and isinstance(b,list): r[a]=['<ip>' if re.fullmatch(r'10\.\d+\.\d+\.\d+',str(x)) else x for x in b]
            elif a in('port','targetPort') and isinstance(b,int) and b in PORTS: r[a]='<port>'
            elif a in('nodePort','healthCheckNodePort') and isinstance(b,int) and 30000<=b<=32767: r[a]='<np>'
            elif a=='continue' and isinstance(b,str) and b: r[a]='<cont>'
            # Upstream visits bindings in no order.
            elif a in('resourceRules','nonResourceRules') and 'incomplete' in o and isinstance(b,list): r[a]=sorted(norm(b,a),key=lambda x:json.dumps(x,sort_keys=True))
            elif a=='token' and isinstance(b,str) and len(b)>100: r[a]='<tok>'
            else: r[a]=norm(b,a)
        return r
    if isinstance(o,list): return [norm(x,k) for x in o]
    if isinstance(o,str) and k=='cells' and re.fullmatch(r'10\.\d+\.\d+\.\d+',o): return '<ip>'
    if isinstance(o,str): return normstr(o)
    return o
def diffs(a,b,path='',out=None):
    """a=cox b=up"""
    if out is None: out=[]
    if len(out)>40: return out
    if type(a)!=type(b): out.append((path,a,b))
    elif isinstance(a,dict):
        for k in sorted(set(a)|set(b)):
            p=path+'.'+k
            if k not in a: out.append((p,'<absent>',b[k]))
            elif k not in b: out.append((p,a[k],'<absent>'))
            else: diffs(a[k],b[k],p,out)
    elif isinstance(a,list):
        if len(a)!=len(b): out.append((path+'[len]',a,b))
        else:
            for i,(x,y) in enumerate(zip(a,b)): diffs(x,y,f'{path}[{i}]',out)
    elif a!=b: out.append((path,a,b))
    return out
class Recorder:
    def __init__(s): s.n=0; s.same=0; s.classes=collections.Counter(); s.bysec=collections.defaultdict(lambda:[0,0]); s.recs=[]; s.statuses=collections.Counter()
    def save(s,fn):
        json.dump({'requests':s.n,'differences':len(s.recs),'classes':s.classes.most_common(),'sections':s.bysec,'statuses':s.statuses.most_common(),'records':s.recs},open(fn,'w'),indent=1,default=str)
R=Recorder()
SEC='?'
def setsec(x):
    global SEC; SEC=x
def short(o,n=1500):
    t=o if isinstance(o,str) else json.dumps(o,default=str)
    return t if len(t)<=n else t[:n]+'…'
def mfnorm(o):
    """drop managedFields, to classify"""
    if isinstance(o,dict) and isinstance(o.get('metadata'),dict):
        o=dict(o); o['metadata']={k:v for k,v in o['metadata'].items() if k!='managedFields'}
    return o
def classify(a,b,na,nb):
    if a.status!=b.status: return f'status {a.status} vs {b.status}'
    if na is None or nb is None:
        return 'body-form' if a.ctype.split(';')[0]!=b.ctype.split(';')[0] else 'body'
    if isinstance(nb,dict) and nb.get('kind')=='Status' and nb.get('status')=='Failure':
        if na.get('reason')!=nb.get('reason'): return 'status-reason'
        ca=(na.get('details') or {}).get('causes') or []; cb=(nb.get('details') or {}).get('causes') or []
        sa=sorted(json.dumps(x,sort_keys=True) for x in ca); sb=sorted(json.dumps(x,sort_keys=True) for x in cb)
        if ca!=cb:
            if sa==sb: return 'error-order'
            fa=set((x.get('field'),x.get('reason')) for x in ca); fb=set((x.get('field'),x.get('reason')) for x in cb)
            if fa==fb: return 'error-text'
            if fa-fb and fb-fa: return 'error-list-differs'
            return 'error-extra' if fa-fb else 'error-missing'
        if na.get('message')!=nb.get('message'): return 'status-message'
        return 'status-details'
    if isinstance(nb,dict) and nb.get('kind')=='Status':
        d=[x[0] for x in diffs(na,nb)]
        return 'delete-status-code' if d==['.code'] else 'status-success'
    if isinstance(nb,dict) and isinstance(na,dict) and isinstance(nb.get('items'),list) and isinstance(na.get('items'),list):
        na=json.loads(json.dumps(na)); nb=json.loads(json.dumps(nb))
        for o in (na,nb):
            for it in o['items'] or []:
                if isinstance(it,dict): it.pop('apiVersion',None); it.pop('kind',None)
        if not diffs(na,nb): return 'list-items-typemeta'
    if diffs(mfnorm(na),mfnorm(nb)):
        if not diffs(prune(mfnorm(na)),prune(mfnorm(nb))): return 'object(empty fields only)'
        return 'object'
    if isinstance(nb,dict) and isinstance(na,dict):
        for o in (na,nb):
            for m in (o.get('metadata') or {}).get('managedFields') or []:
                sp=(m.get('fieldsV1') or {}).get('f:spec') or {}
                for k in ('f:tolerations','f:priority','f:preemptionPolicy','f:serviceAccount','f:serviceAccountName','f:volumes','f:initContainers','f:containers','f:finalizers'): sp.pop(k,None)
                if not sp: (m.get('fieldsV1') or {}).pop('f:spec',None)
        if not diffs(na,nb): return 'managedFields(known: admission-owned)'
    return 'managedFields'
def prune(o):
    if isinstance(o,dict):
        r={k:prune(v) for k,v in o.items()}
        return {k:v for k,v in r.items() if v not in ({},[],'',None,0) or v is False}
    if isinstance(o,list): return [prune(x) for x in o]
    return o
def both(method,path,body=None,ctype='application/json',accept='application/json',hdr=None,name=None,ignore=None,cmp=True,bodies=None,paths=None,sec=None,cmpct=True):
    """send to both; compare; return (cox,up)"""
    h={'Accept':accept,'User-Agent':'diff/1.0'} if accept is not None else {'User-Agent':'diff/1.0'}
    if body is not None or bodies is not None: h['Content-Type']=ctype
    if ctype is None: h.pop('Content-Type',None)
    if hdr: h.update(hdr)
    def enc(b):
        if b is None or isinstance(b,bytes): return b
        if isinstance(b,str): return b.encode()
        # Without spaces: upstream keeps the bytes of fields whose type it does not know.
        return json.dumps(b,separators=(',',':')).encode()
    ba,bb=(enc(body),enc(body)) if bodies is None else (enc(bodies[0]),enc(bodies[1]))
    pa,pb=paths or (path,path)
    UP.send(method,pb,bb,h); COX.send(method,pa,ba,h)
    a=COX.recv(); b=UP.recv()
    if not cmp: return a,b
    R.n+=1; R.statuses[b.status]+=1
    sec=sec or SEC; R.bysec[sec][0]+=1
    na=norm(a.js) if a.js is not None else None; nb=norm(b.js) if b.js is not None else None
    if ignore: 
        if na is not None: ignore(na)
        if nb is not None: ignore(nb)
    bad=False; d=[]
    if a.status!=b.status: bad=True
    elif na is not None or nb is not None:
        d=diffs(na,nb); bad=bool(d)
    elif normstr(a.body.decode('latin1'))!=normstr(b.body.decode('latin1')): bad=True
    wd=a.warn!=b.warn
    cd=cmpct and a.ctype!=b.ctype
    if bad or wd or cd:
        cls=classify(a,b,na,nb) if bad else ('warning' if wd else 'content-type')
        if bad and wd: R.classes['warning(+)']+=1
        R.classes[cls]+=1; R.bysec[sec][1]+=1
        rec={'sec':sec,'name':name or f'{method} {path}','cls':cls,'req':f'{method} {path}','ctype':ctype,'body':short((ba or b'').decode('utf8','replace'),3000),'cox':a.status,'up':b.status}
        if wd: rec['warn']=[a.warn,b.warn]
        if cd: rec['ct']=[a.ctype,b.ctype]
        if bad:
            if isinstance(nb,dict) and nb.get('kind')=='Status' or isinstance(na,dict) and na.get('kind')=='Status':
                rec['cox_msg']=short((na or {}).get('message',na) if isinstance(na,dict) and na.get('kind')=='Status' else '<object>',6000)
                rec['up_msg']=short((nb or {}).get('message',nb) if isinstance(nb,dict) and nb.get('kind')=='Status' else '<object>',6000)
            if a.status==b.status: rec['diffs']=[(p,short(x,240),short(y,240)) for p,x,y in d]
            if na is None or nb is None: rec['bodies']=[short(a.body.decode('utf8','replace'),600),short(b.body.decode('utf8','replace'),600)]
        R.recs.append(rec)
    else: R.same+=1
    return a,b
def summary(fn):
    R.save(fn)
    print(f'requests {R.n}, differences {len(R.recs)}')
    for k,v in R.classes.most_common(): print(f'  {v:6} {k}')
    for k,v in sorted(R.bysec.items()): print(f'  [{k}] {v[0]} requests, {v[1]} differences')
