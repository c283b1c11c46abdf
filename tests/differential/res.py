"""The resources that upstream serves, and the namespaces that the comparisons work in."""
from lib import *
from objs import *
RES={} # (apiVersion,kind)->(prefix,plural,namespaced,verbs,subresources)
def load():
    _,b=both('GET','/apis',cmp=False)
    gvs=['v1']+[v['groupVersion'] for g in b.js['groups'] for v in g['versions']]
    for gv in gvs:
        pre='/api/v1' if gv=='v1' else '/apis/'+gv
        _,d=both('GET',pre,cmp=False)
        if not d.js or 'resources' not in d.js: continue
        for r in d.js['resources']:
            if '/' in r['name']: continue
            subs=[x['name'].split('/',1)[1] for x in (d.js or {}).get('resources',[]) if x['name'].startswith(r['name']+'/')]
            RES[(gv,r['kind'])]=(pre,r['name'],r['namespaced'],r['verbs'],subs)
load()
def coll(o,ns=None):
    pre,pl,nsd,_,_=RES[(o['apiVersion'],o['kind'])]
    ns=ns or (o.get('metadata') or {}).get('namespace') or NS
    return f'{pre}/namespaces/{ns}/{pl}' if nsd else f'{pre}/{pl}'
def setup():
    for ns in (NS,'ns2','nsq','default'):
        both('POST','/api/v1/namespaces',{'metadata':{'name':ns}},cmp=False)
        both('POST',f'/api/v1/namespaces/{ns}/serviceaccounts',{'metadata':{'name':'default'}},cmp=False)
setup()
