"""Upstream's fully populated test data, and the life of a minimal object, of every kind."""
# testdata as json/yaml/pb, minimal objects
from res import *
import glob, subprocess
G=subprocess.check_output(['go','env','GOMODCACHE'],text=True).strip()+'/k8s.io/api@v0.35.0/testdata/HEAD/'
import sys
def key(fn):
    b=os.path.basename(fn).rsplit('.',1)[0]
    # group.version.Kind
    m=re.match(r'(.*)\.(v\d\w*)\.(\w+)$',b)
    if not m: return None
    g,v,k=m.groups(); 
    if g in('core',): return ('v1',k) if v=='v1' else None
    return (f'{g}/{v}',k)
def run():
    setsec('1a testdata')
    for fn in sorted(glob.glob(G+'*.json')):
        k=key(fn)
        if k not in RES or 'create' not in RES[k][3]: continue
        o=json.load(open(fn))
        ns=o['metadata'].get('namespace',NS)
        o['metadata']['namespace']='ns1'
        p=coll({'apiVersion':k[0],'kind':k[1]},'ns1')
        if not RES[k][2]: o['metadata'].pop('namespace')
        o['metadata'].pop('resourceVersion',None)
        for q in ('?dryRun=All&fieldValidation=Strict','?fieldValidation=Strict'):
            both('POST',p+q,o,name=f'testdata {k[1]} json {q}')
        both('POST',p+'?dryRun=All&fieldValidation=Strict',yaml.safe_dump(o),ctype='application/yaml',accept='application/yaml',name=f'testdata {k[1]} yaml')
        raw=open(fn,'rb').read()
        both('POST',p+'?dryRun=All&fieldValidation=Strict',raw,name=f'testdata {k[1]} json raw')
        both('POST',p+'?dryRun=All',open(fn[:-5]+'.pb','rb').read(),ctype='application/vnd.kubernetes.protobuf',name=f'testdata {k[1]} pb raw')
        # without name/uid/rv etc. only spec
    setsec('1b minimal')
    for o in OBJS+EPHS:
        p=coll(o); k=o['kind']
        a,b=both('POST',p+'?dryRun=All&fieldValidation=Strict',o,name=f'minimal {o["apiVersion"]} {k} dry')
        if b.status>=300: print('minimal not valid upstream',o['apiVersion'],k,b.status,b.body[:300])
        both('POST',p+'?fieldValidation=Strict',o,name=f'minimal {o["apiVersion"]} {k} create')
        both('POST',p+'?dryRun=All',o,accept='application/vnd.kubernetes.protobuf',name=f'minimal {k} pb out (ct only)') if 0 else None
        if o in EPHS: continue
        n=o['metadata']['name']
        both('GET',p+'/'+n,name=f'minimal {o["apiVersion"]} {k} get')
        both('GET',p+'/'+n,accept='application/json;as=Table;g=meta.k8s.io;v=v1',name=f'table {o["apiVersion"]} {k}')
        both('GET',p+'/'+n,accept='application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1',name=f'pom {o["apiVersion"]} {k}')
        both('POST',p,o,name=f'minimal {o["apiVersion"]} {k} create again')
        both('PUT',p+'/'+n,o,name=f'minimal {o["apiVersion"]} {k} put same')
        both('DELETE',p+'/'+n+'?dryRun=All',name=f'minimal {k} delete dry')
        both('DELETE',p+'/'+n,name=f'minimal {o["apiVersion"]} {k} delete')
        both('GET',p+'/'+n,name=f'minimal {o["apiVersion"]} {k} get after delete')
        both('PATCH',p+'/'+n,{'metadata':{'finalizers':None}},ctype='application/merge-patch+json',cmp=False)
