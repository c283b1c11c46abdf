"""Discovery."""
# discovery, openapi, version, bootstrap
from lib import *
def run():
    setsec('5 discovery')
    both('GET','/api');both('GET','/apis')
    for acc in ['application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList','application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json']:
        for p in ['/api','/apis']: both('GET',p,accept=acc,name=f'aggregated {p} {acc}')
    a,b=both('GET','/apis',cmp=False)
    gvs=['/api/v1']
    for g in b.js['groups']:
        both('GET','/apis/'+g['name'])
        gvs+=['/apis/'+v['groupVersion'] for v in g['versions']]
    for gv in gvs: both('GET',gv)
    for p in ['/version','/livez','/readyz','/healthz','/livez?verbose','/readyz?verbose','/healthz?verbose','/livez/ping','/healthz/etcd','/','/.well-known/openid-configuration','/openid/v1/jwks','/openapi','/logs','/debug','/statusz','/flagz','/openapi/v3/x']:
        both('GET',p,accept='application/json' if p in('/version','/') else '*/*')
