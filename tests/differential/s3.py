"""Server-side apply."""
from res import *
from s2 import MP,JP,SP,AP
def run():
    setsec('3 apply')
    C='/api/v1/namespaces/ns1/configmaps'; D='/apis/apps/v1/namespaces/ns1/deployments'
    P='/api/v1/namespaces/ns1/pods'; S='/api/v1/namespaces/ns1/services'
    def ap(p,o,q='',name='',**kw): return both('PATCH',p+'?'+q,o,ctype=AP,name='apply '+name,**kw)
    def cm(**kw): return {'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a',**kw.pop('meta',{})},**kw}
    a=C+'/a'
    ap(a,cm(data={'k':'1'}),name='no fieldManager')
    ap(a,cm(data={'k':'1'}),'fieldManager=',name='empty fieldManager')
    ap(a,cm(data={'k':'1'}),'fieldManager='+'m'*129,name='long fieldManager')
    ap(a,cm(data={'k':'1'}),'fieldManager=a%0Ab',name='unprintable fieldManager')
    both('PATCH',a+'?force=true',{'data':{}},ctype=MP,name='merge with force=true')
    both('PATCH',a+'?fieldManager=x&force=maybe',cm(),ctype=AP,name='apply force=maybe')
    both('POST',C+'?force=true',cm(),name='create with force')
    ap(a,cm(data={'k':'1'},meta={'uid':'11111111-1111-1111-1111-111111111111'}),'fieldManager=m1',name='create with uid')
    ap(a,cm(data={'k':'1'},meta={'resourceVersion':'1'}),'fieldManager=m1',name='create with rv')
    ap(a,cm(data={'k':'1'},meta={'resourceVersion':'0'}),'fieldManager=m1',name='create with rv 0')
    ap(a,cm(data={'k':'1'},meta={'generateName':'a'}),'fieldManager=m1&dryRun=All',name='create with generateName')
    ap(a,cm(data={'k':'1'},meta={'managedFields':[]}),'fieldManager=m1&dryRun=All',name='managedFields empty in apply')
    ap(a,cm(data={'k':'1'},meta={'managedFields':[{'manager':'z','operation':'Update','apiVersion':'v1','fieldsType':'FieldsV1','fieldsV1':{}}]}),'fieldManager=m1&dryRun=All',name='managedFields set in apply')
    ap(a,cm(data={'k':'1'},meta={'managedFields':None}),'fieldManager=m1&dryRun=All',name='managedFields null in apply')
    ap(a,cm(data={'k':'1'},meta={'name':'b'}),'fieldManager=m1',name='other name')
    ap(a,cm(data={'k':'1'},meta={'name':''}),'fieldManager=m1&dryRun=All',name='empty name')
    ap(a,cm(data={'k':'1'},meta={'namespace':'ns2'}),'fieldManager=m1',name='other namespace')
    ap(a,{**cm(data={'k':'1'}),'apiVersion':'v2'},'fieldManager=m1',name='wrong apiVersion')
    ap(a,{**cm(data={'k':'1'}),'kind':'Secret'},'fieldManager=m1',name='wrong kind')
    ap(a,{'metadata':{'name':'a'},'data':{'k':'1'}},'fieldManager=m1',name='no gvk')
    ap(a,'- a','fieldManager=m1',name='list body'); ap(a,'','fieldManager=m1',name='empty body'); ap(a,'{a','fieldManager=m1',name='bad yaml'); ap(a,'5','fieldManager=m1',name='number')
    ap(a,'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: a, k: b}\n','fieldManager=m1&dryRun=All',name='dup yaml key')
    ap(a,'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: a, k: b}\n','fieldManager=m1&dryRun=All&fieldValidation=Strict',name='dup yaml key strict')
    ap(a,{**cm(),'zz':1},'fieldManager=m1&dryRun=All',name='unknown field'); ap(a,{**cm(),'zz':1},'fieldManager=m1&dryRun=All&fieldValidation=Strict',name='unknown field strict'); ap(a,{**cm(),'zz':1},'fieldManager=m1&dryRun=All&fieldValidation=Ignore',name='unknown field ignore')
    ap(a,cm(data={'k':1}),'fieldManager=m1&dryRun=All',name='wrong type'); ap(a,cm(data=['k']),'fieldManager=m1&dryRun=All',name='list for map'); ap(a,cm(data={'k':None}),'fieldManager=m1&dryRun=All',name='null value'); ap(a,cm(data=None),'fieldManager=m1&dryRun=All',name='null map')
    ap(a,cm(data={'k':'1','l':'2'}),'fieldManager=m1',name='create')
    ap(a,cm(data={'k':'1','l':'2'}),'fieldManager=m1',name='same again')
    ap(a,cm(data={'k':'2'}),'fieldManager=m2',name='conflict 1')
    ap(a,cm(data={'k':'2','l':'3'}),'fieldManager=m2',name='conflict 2')
    ap(a,cm(data={'k':'1'}),'fieldManager=m2',name='share')
    ap(a,cm(data={'l':'2'}),'fieldManager=m1',name='drop shared k')
    ap(a,cm(data={'l':'2'}),'fieldManager=m2',name='m2 drops k')
    ap(a,cm(data={'l':'4'}),'fieldManager=m3',name='conflict with two')
    ap(a,cm(data={'l':'4'}),'fieldManager=m3&force=true',name='force')
    ap(a,cm(data={'l':'4'}),'fieldManager=m3&dryRun=All',name='dry')
    ap(a,cm(),'fieldManager=m3',name='drop all')
    both('PATCH',a,{'data':{'u':'1'}},ctype=MP,name='merge update'); ap(a,cm(data={'u':'2'}),'fieldManager=m1',name='conflict with updater')
    ap(a,cm(data={'u':'2'}),'fieldManager=diff',name='conflict with same-name updater')
    both('PATCH',a,{'metadata':{'managedFields':[]}},ctype=MP,name='reset managedFields []')
    both('PATCH',a,{'metadata':{'managedFields':[{}]}},ctype=MP,name='reset managedFields [{}]'); both('GET',a,name='after reset')
    ap(a,cm(data={'u':'5'}),'fieldManager=m1',name='after reset (before-first-apply)')
    ap(a,cm(data={'u':'5'}),'fieldManager=m1&force=true',name='after reset forced')
    both('PATCH',a,{'data':{'w':'1'}},ctype=MP,name='update after reset')
    ap(a,cm(data={'u':'5'},meta={'resourceVersion':'1'}),'fieldManager=m1',name='stale rv')
    ap(a,cm(data={'u':'5'},meta={'labels':{'a':'b'},'annotations':{'c':'d'},'finalizers':['a.b/c'],'ownerReferences':[{'apiVersion':'v1','kind':'Pod','name':'p','uid':'u1'}]}),'fieldManager=m1',name='metadata')
    ap(a,cm(data={'u':'5'},meta={'finalizers':['d.e/f'],'ownerReferences':[{'apiVersion':'v1','kind':'Pod','name':'q','uid':'u2'}]}),'fieldManager=m2',name='metadata 2')
    ap(a,cm(data={'u':'5'},meta={'ownerReferences':[{'apiVersion':'v1','kind':'Pod','name':'q3','uid':'u2'}]}),'fieldManager=m3',name='ownerRef conflict')
    ap(a,cm(meta={'finalizers':['d.e/f','d.e/f']}),'fieldManager=m4',name='dup set'); ap(a,cm(meta={'finalizers':[None]}),'fieldManager=m4',name='null in set')
    ap(a,cm(meta={'ownerReferences':[{'apiVersion':'v1','kind':'Pod','name':'q3'}]}),'fieldManager=m4',name='missing key'); ap(a,cm(meta={'creationTimestamp':None}),'fieldManager=m4',name='creationTimestamp null'); ap(a,cm(meta={'uid':'zz'}),'fieldManager=m4',name='bad uid'); ap(a,cm(meta={'deletionTimestamp':'2024-01-01T00:00:00Z'}),'fieldManager=m4&dryRun=All',name='deletionTimestamp'); ap(a,cm(meta={'generation':5}),'fieldManager=m4&dryRun=All',name='generation')
    ap(a,cm(immutable=True),'fieldManager=m5',name='immutable'); ap(a,cm(data={'u':'6'}),'fieldManager=m5&force=true',name='change immutable'); ap(a,cm(),'fieldManager=m5',name='drop immutable')
    both('PATCH',a,{'metadata':{'finalizers':None}},ctype=MP,name='drop finalizers'); both('DELETE',a,cmp=False)
    # deployment
    def dep(c=None,meta=None,**kw):
        return {'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d',**(meta or {})},'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{'containers':c or [{'name':'c','image':'i:1','ports':[{'containerPort':80}],'env':[{'name':'A','value':'1'}]}]}},**kw}}
    d=D+'/d'
    ap(d,dep(replicas=2),'fieldManager=m1',name='deploy create')
    ap(d,dep(replicas=3),'fieldManager=m2',name='deploy conflict'); ap(d,dep([{'name':'c','image':'i:2'}],replicas=3),'fieldManager=m2',name='deploy conflict 2')
    ap(d,dep([{'name':'c','image':'i:1','env':[{'name':'B','value':'2'}]},{'name':'side','image':'s:1'}]),'fieldManager=m2',name='deploy merge lists')
    ap(d,dep([{'name':'c','image':'i:1','ports':[{'containerPort':80,'protocol':'TCP','name':'x'}]}]),'fieldManager=m3',name='deploy port default key')
    ap(d,dep([{'name':'c','image':'i:1','ports':[{'containerPort':80,'protocol':'UDP'}]}]),'fieldManager=m3',name='deploy port UDP')
    ap(d,dep([{'name':'c','image':'i:1','ports':[{'containerPort':80},{'containerPort':80}]}]),'fieldManager=m4',name='deploy dup ports')
    ap(d,dep([{'name':'c','image':'i:1'},{'name':'c','image':'i:2'}]),'fieldManager=m4',name='deploy dup containers'); ap(d,dep([{'image':'i:1'}]),'fieldManager=m4',name='deploy container w/o name'); ap(d,dep([{'name':'c','image':'i:1','env':[{'name':'A'},{'name':'A','value':'2'}]}]),'fieldManager=m4',name='deploy dup env')
    ap(d,dep([{'name':'c','image':'i:1','env':[{'name':'A','value':None}]}]),'fieldManager=m4&dryRun=All',name='deploy env null'); ap(d,dep([{'name':'c','image':'i:1','resources':{'limits':{'cpu':'1000m'},'requests':{'memory':'1Gi'}}}]),'fieldManager=m5',name='deploy resources'); ap(d,dep([{'name':'c','image':'i:1','resources':{'limits':{'cpu':1},'requests':{'memory':1073741824}}}]),'fieldManager=m6',name='deploy resources same in other form')
    ap(d,dep([{'name':'side','image':'s:1'}]),'fieldManager=m2',name='deploy drop container c by m2'); ap(d,dep([{'name':'c','image':'i:1'}]),'fieldManager=m2',name='deploy drop side by m2'); both('GET',d,name='deploy get')
    ap(d,dep(strategy={'type':'Recreate'}),'fieldManager=m7',name='deploy strategy recreate (rollingUpdate defaulted)'); ap(d,dep(strategy={'type':'Recreate','rollingUpdate':None}),'fieldManager=m7&force=true',name='deploy strategy null')
    ap(d+'/status',{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d'},'status':{'replicas':2,'conditions':[{'type':'Available','status':'True','reason':'R','message':'m'}]}},'fieldManager=st',name='deploy status'); ap(d+'/status',{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d'},'status':{'replicas':3}},'fieldManager=st2',name='deploy status conflict'); ap(d+'/status',{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d','labels':{'z':'1'}},'spec':{'replicas':9},'status':{'readyReplicas':1}},'fieldManager=st3',name='deploy status with spec'); ap(d+'/status',{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'d'},'status':{'conditions':[{'type':'A'},{'type':'A'}]}},'fieldManager=st4',name='deploy status dup cond')
    ap(D+'/none/status',{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'none'},'status':{'replicas':2}},'fieldManager=st',name='status of missing'); ap(d+'/scale',{'apiVersion':'autoscaling/v1','kind':'Scale','metadata':{'name':'d'},'spec':{'replicas':7}},'fieldManager=sc',name='scale conflict'); ap(d+'/scale',{'apiVersion':'autoscaling/v1','kind':'Scale','metadata':{'name':'d'},'spec':{'replicas':7}},'fieldManager=sc&force=true',name='scale force'); ap(d,dep(replicas=2),'fieldManager=m1',name='conflict with scale'); both('GET',d,name='deploy get 2')
    both('DELETE',d,cmp=False); both('POST',D,dep(replicas=2),name='fresh deploy for patches')
    both('PATCH',d,[{'op':'test','path':'/spec/replicas','value':99},{'op':'replace','path':'/spec/replicas','value':1}],ctype=JP,name='jsonpatch test fails')
    for pt in ([{'op':'replace','path':'/spec/none/x','value':1}],[{'op':'remove','path':'/spec/none'}],[{'op':'bad','path':'/spec'}],[{'op':'add','path':'spec','value':1}],[{'op':'copy','from':'/spec/none','path':'/spec/x'}],[{'op':'move','from':'/metadata/labels','path':'/metadata/annotations'}],{},[],[{'op':'add','path':'/spec/template/spec/containers/-','value':{'name':'n','image':'i'}}],[{'op':'add','path':'/spec/template/spec/containers/9','value':{'name':'n','image':'i'}}],[{'op':'add','path':'/metadata/annotations/a~1b','value':'x'}],[{'op':'add','path':'/metadata/labels','value':{'a~1b':'x'}}],[{'op':'replace','path':'','value':{}}],[{'op':'remove','path':'/spec/template/spec/containers/0'}],'x',None,[{'path':'/spec/replicas','value':1}],[{'op':'test','path':'/spec/replicas'}],[{'op':'add','path':'/spec/replicas'}],[{'op':'add','path':'/spec/replicas','value':None}]):
        both('PATCH',d+'?dryRun=All',json.dumps(pt),ctype=JP,name=f'jsonpatch {json.dumps(pt)}')
    for pt in ({'spec':{'template':{'spec':{'containers':[{'name':'c','$patch':'delete'}]}}}},{'spec':{'template':{'spec':{'containers':[{'$patch':'replace'},{'name':'n','image':'i'}]}}}},{'spec':{'template':{'spec':{'containers':[{'name':'c','env':[{'name':'A','$patch':'delete'}]}]}}}},{'spec':{'template':{'spec':{'$setElementOrder/containers':[{'name':'side'},{'name':'c'}],'containers':[{'name':'side','image':'z'}]}}}},{'spec':{'$retainKeys':['type'],'strategy':{'type':'Recreate'}}},{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}},{'spec':{'template':{'spec':{'containers':[{'image':'noname'}]}}}},{'spec':{'replicas':'x'}},{'$patch':'replace','spec':{}},{'$patch':'bad'},{'metadata':{'$deleteFromPrimitiveList/finalizers':['a']}},{'metadata':{'finalizers':['x.y/z']}},{'spec':{'template':{'spec':{'tolerations':[{'key':'a'}],'volumes':[{'name':'v','emptyDir':{}}],'imagePullSecrets':[{'name':'a'}]}}}},{'spec':{'template':{'spec':{'containers':[{'name':'c','ports':[{'containerPort':80,'$patch':'delete'}]}]}}}},{'spec':None},{'spec':{'template':None}},[],'x',{'zz':1},{'spec':{'template':{'spec':{'containers':{'name':'c'}}}}},{'spec':{'template':{'spec':{'nodeSelector':{'a':'b','c':None}}}}},{'spec':{'template':{'spec':{'$setElementOrder/containers':[{'name':'zz'}]}}}}):
        for q in ('','&fieldValidation=Strict'): both('PATCH',d+'?dryRun=All'+q,json.dumps(pt),ctype=SP,name=f'strategic {json.dumps(pt)} {q}')
        both('PATCH',d+'?dryRun=All',json.dumps(pt),ctype=MP,name=f'merge {json.dumps(pt)}')
    for ct in ('application/json','text/plain','application/strategic-merge-patch+json; charset=utf-8','application/apply-patch+cbor','application/x','',None): both('PATCH',d+'?dryRun=All','{"spec":{}}',ctype=ct,name=f'patch ctype {ct}')
    both('DELETE',d,cmp=False)
    # CSA upgrade
    last=json.dumps({'apiVersion':'v1','kind':'ConfigMap','metadata':{'annotations':{},'name':'csa','namespace':'ns1'},'data':{'k':'1','l':'2'}})
    both('POST',C+'?fieldManager=kubectl-client-side-apply',{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'csa','annotations':{'kubectl.kubernetes.io/last-applied-configuration':last}},'data':{'k':'1','l':'2'}},name='csa create')
    ap(C+'/csa',{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'csa'},'data':{'k':'1'}},'fieldManager=kubectl',name='csa upgrade dropping l'); ap(C+'/csa',{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'csa'},'data':{'k':'9'}},'fieldManager=kubectl',name='csa upgrade change'); both('GET',C+'/csa',name='csa get'); ap(C+'/csa',{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'csa'},'data':{'k':'3'}},'fieldManager=other',name='csa other manager'); both('DELETE',C+'/csa',cmp=False)
    # service ports, pods, etc
    def svc(ports,**kw): return {'apiVersion':'v1','kind':'Service','metadata':{'name':'s'},'spec':{'selector':{'a':'b'},'ports':ports,**kw}}
    ap(S+'/s',svc([{'port':80}]),'fieldManager=m1',name='svc create'); ap(S+'/s',svc([{'port':80,'name':'a'},{'port':81,'name':'b'}]),'fieldManager=m2',name='svc ports'); ap(S+'/s',svc([{'port':80,'protocol':'UDP','name':'u'}]),'fieldManager=m3',name='svc udp'); ap(S+'/s',svc([{'port':80},{'port':80,'protocol':'TCP'}]),'fieldManager=m4',name='svc dup'); ap(S+'/s',svc([{'port':80}],type='NodePort'),'fieldManager=m1',name='svc nodeport'); ap(S+'/s',svc([{'port':80}],type='ExternalName',externalName='a.b'),'fieldManager=m1&force=true',name='svc externalname'); ap(S+'/s',svc([{'port':80}],clusterIP='None'),'fieldManager=m1&force=true',name='svc clusterIP none'); both('GET',S+'/s',name='svc get'); both('DELETE',S+'/s',cmp=False)
    for o in OBJS:
        o=copy.deepcopy(o); n=o['metadata']['name']
        if n=='x': n=o['metadata']['name']='ap'
        p=coll(o)+'/'+n; k=o['apiVersion']+' '+o['kind']
        ap(p,o,'fieldManager=m1&fieldValidation=Strict',name=f'create {k}'); ap(p,o,'fieldManager=m1&fieldValidation=Strict',name=f'again {k}')
        ap(p,{**o,'metadata':{**o['metadata'],'labels':{'q':'1'}}},'fieldManager=m2',name=f'm2 {k}')
        ap(p,{'apiVersion':o['apiVersion'],'kind':o['kind'],'metadata':{'name':n}},'fieldManager=m1',name=f'empty m1 {k}')
        ap(p,{'apiVersion':o['apiVersion'],'kind':o['kind'],'metadata':{'name':n}},'fieldManager=m2',name=f'empty m2 {k}')
        both('DELETE',p+'?gracePeriodSeconds=0',cmp=False); both('PATCH',p,{'metadata':{'finalizers':None}},ctype=MP,cmp=False)
