"""A minimal valid object of every kind."""
import yaml, json, copy
import os
W=os.environ.get('DIFF_DIR') or os.path.join(os.getcwd(),'target','differential')
NS='ns1'
Y='''
apiVersion: v1
kind: ConfigMap
metadata: {name: x, labels: {a: b}}
data: {k: v}
binaryData: {b: aGVsbG8=}
---
apiVersion: v1
kind: Secret
metadata: {name: x}
data: {k: aGVsbG8=}
---
apiVersion: v1
kind: Namespace
metadata: {name: x}
---
apiVersion: v1
kind: Node
metadata: {name: x}
spec: {podCIDR: 10.200.0.0/24, podCIDRs: [10.200.0.0/24], taints: [{key: a, effect: NoSchedule}]}
---
apiVersion: v1
kind: Pod
metadata: {name: x}
spec:
  automountServiceAccountToken: false
  containers:
  - {name: c, image: "nginx:1", ports: [{name: http, containerPort: 80, protocol: TCP}], env: [{name: A, value: b}], resources: {requests: {cpu: 100m}, limits: {cpu: 200m}}, volumeMounts: [{name: v, mountPath: /v}]}
  initContainers:
  - {name: i, image: "nginx:1"}
  volumes: [{name: v, emptyDir: {}}]
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: x}
spec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /tmp}}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: x}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: PodTemplate
metadata: {name: x}
template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}
---
apiVersion: v1
kind: ReplicationController
metadata: {name: x}
spec: {selector: {a: b}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}
---
apiVersion: v1
kind: ResourceQuota
metadata: {name: x, namespace: nsq}
spec: {hard: {pods: "10"}}
---
apiVersion: v1
kind: LimitRange
metadata: {name: x, namespace: nsq}
spec: {limits: [{type: Container, max: {cpu: "1"}, min: {cpu: 100m}, default: {cpu: 500m}, defaultRequest: {cpu: 200m}}]}
---
apiVersion: v1
kind: Service
metadata: {name: x}
spec: {selector: {a: b}, ports: [{name: http, port: 80, targetPort: 8080, protocol: TCP}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: x}
---
apiVersion: v1
kind: Endpoints
metadata: {name: x}
subsets: [{addresses: [{ip: 1.2.3.4}], ports: [{port: 80, name: http}]}]
---
apiVersion: v1
kind: Event
metadata: {name: x}
involvedObject: {kind: Pod, name: a, namespace: ns1}
reason: R
message: m
type: Normal
source: {component: c}
firstTimestamp: "2024-01-01T00:00:00Z"
lastTimestamp: "2024-01-01T00:00:00Z"
count: 1
---
apiVersion: events.k8s.io/v1
kind: Event
metadata: {name: x}
regarding: {kind: Pod, name: a, namespace: ns1}
reason: R
note: m
type: Normal
action: A
reportingController: a.b/c
reportingInstance: i
eventTime: "2024-01-01T00:00:00.000000Z"
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: x}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: x}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: x}
spec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: x}
spec: {serviceName: s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: nginx}]}}, volumeClaimTemplates: [{metadata: {name: d}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}
---
apiVersion: apps/v1
kind: ControllerRevision
metadata: {name: x}
revision: 1
data: {a: b}
---
apiVersion: batch/v1
kind: Job
metadata: {name: x}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: nginx}]}}}
---
apiVersion: batch/v1
kind: CronJob
metadata: {name: x}
spec: {schedule: "* * * * *", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: nginx}]}}}}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: x}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, maxReplicas: 3, metrics: [{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}]}
---
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: x}
spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}, maxReplicas: 3, targetCPUUtilizationPercentage: 50}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: x}
spec: {ingressClassName: c, rules: [{host: a.example, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}], tls: [{hosts: [a.example], secretName: t}]}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: x}
spec: {controller: a.example/b}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x}
spec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {a: b}}}], ports: [{port: 80, protocol: TCP}]}], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]}]}
---
apiVersion: networking.k8s.io/v1
kind: IPAddress
metadata: {name: 10.99.0.5}
spec: {parentRef: {resource: services, name: s, namespace: ns1}}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: x}
spec: {cidrs: [10.98.0.0/24]}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: x}
spec: {minAvailable: 1, selector: {matchLabels: {a: b}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: x}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: x}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: User, name: u, apiGroup: rbac.authorization.k8s.io}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: x}
rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: x}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}
subjects: [{kind: ServiceAccount, name: u, namespace: ns1}]
---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: x}
value: 100
---
apiVersion: node.k8s.io/v1
kind: RuntimeClass
metadata: {name: x}
handler: h
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {name: x}
spec: {holderIdentity: a, leaseDurationSeconds: 10, acquireTime: "2024-01-01T00:00:00.000000Z", renewTime: "2024-01-01T00:00:00.000000Z", leaseTransitions: 0}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: x}
addressType: IPv4
endpoints: [{addresses: [10.1.2.3], conditions: {ready: true}}]
ports: [{name: http, port: 80, protocol: TCP}]
---
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata: {name: x}
provisioner: p.example/a
---
apiVersion: storage.k8s.io/v1
kind: CSIDriver
metadata: {name: x}
spec: {attachRequired: true}
---
apiVersion: storage.k8s.io/v1
kind: CSINode
metadata: {name: x}
spec: {drivers: [{name: d, nodeID: n, topologyKeys: [a]}]}
---
apiVersion: storage.k8s.io/v1
kind: CSIStorageCapacity
metadata: {name: x}
storageClassName: s
capacity: 1Gi
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttachment
metadata: {name: x}
spec: {attacher: a, nodeName: n, source: {persistentVolumeName: p}}
---
apiVersion: storage.k8s.io/v1
kind: VolumeAttributesClass
metadata: {name: x}
driverName: d
parameters: {a: b}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: FlowSchema
metadata: {name: x}
spec: {priorityLevelConfiguration: {name: global-default}, matchingPrecedence: 5000, distinguisherMethod: {type: ByUser}, rules: [{subjects: [{kind: Group, group: {name: g}}], resourceRules: [{verbs: [get], apiGroups: [""], resources: [pods], namespaces: ["*"]}], nonResourceRules: [{verbs: [get], nonResourceURLs: ["/a"]}]}]}
---
apiVersion: flowcontrol.apiserver.k8s.io/v1
kind: PriorityLevelConfiguration
metadata: {name: x}
spec: {type: Limited, limited: {nominalConcurrencyShares: 10, limitResponse: {type: Queue, queuing: {queues: 8, handSize: 4, queueLengthLimit: 10}}}}
---
apiVersion: certificates.k8s.io/v1
kind: CertificateSigningRequest
metadata: {name: x}
spec: {request: "@CSR@", signerName: example.com/s, usages: [client auth], expirationSeconds: 3600}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: x}
webhooks: [{name: a.example.com, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {url: "https://127.0.0.1:1/a"}, rules: [{operations: [CREATE], apiGroups: [none.example], apiVersions: [v1], resources: [none]}]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: x}
webhooks: [{name: a.example.com, sideEffects: None, admissionReviewVersions: [v1], clientConfig: {service: {namespace: ns1, name: s}}, rules: [{operations: [CREATE], apiGroups: [none.example], apiVersions: [v1], resources: [none]}]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: x}
spec: {matchConstraints: {resourceRules: [{operations: [CREATE], apiGroups: [none.example], apiVersions: [v1], resources: [none]}]}, validations: [{expression: "true"}]}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: x}
spec: {policyName: p, validationActions: [Deny]}
---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: x}
spec: {selectors: [{cel: {expression: "device.driver == 'a'"}}]}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaim
metadata: {name: x}
spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c}}]}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceClaimTemplate
metadata: {name: x}
spec: {spec: {devices: {requests: [{name: r, exactly: {deviceClassName: c}}]}}}
---
apiVersion: resource.k8s.io/v1
kind: ResourceSlice
metadata: {name: x}
spec: {driver: d.example, nodeName: n, pool: {name: p, generation: 1, resourceSliceCount: 1}, devices: [{name: d0, attributes: {a: {int: 1}}, capacity: {m: {value: 1Gi}}}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: foos.example.com}
spec: {group: example.com, scope: Namespaced, names: {plural: foos, kind: Foo}, versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object}}}}}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1.none.example}
spec: {group: none.example, version: v1, groupPriorityMinimum: 100, versionPriority: 10, insecureSkipTLSVerify: true, service: {namespace: ns1, name: s, port: 443}}
'''
EPH='''
apiVersion: authentication.k8s.io/v1
kind: TokenReview
metadata: {}
spec: {token: abc}
---
apiVersion: authentication.k8s.io/v1
kind: SelfSubjectReview
---
apiVersion: authorization.k8s.io/v1
kind: SubjectAccessReview
spec: {user: u, groups: [g], resourceAttributes: {verb: get, resource: pods, namespace: ns1}}
---
apiVersion: authorization.k8s.io/v1
kind: SelfSubjectAccessReview
spec: {resourceAttributes: {verb: get, resource: pods, namespace: ns1}}
---
apiVersion: authorization.k8s.io/v1
kind: LocalSubjectAccessReview
metadata: {namespace: ns1}
spec: {user: u, resourceAttributes: {verb: get, resource: pods, namespace: ns1}}
---
apiVersion: authorization.k8s.io/v1
kind: SelfSubjectRulesReview
spec: {namespace: ns1}
'''
import subprocess, os
def csr():
    f=W+'/x.csr'
    if not os.path.exists(f): subprocess.run('openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout '+W+'/x.key -subj /CN=u/O=g -out '+f,shell=True,stderr=subprocess.DEVNULL)
    import base64; return base64.b64encode(open(f,'rb').read()).decode()
OBJS=list(yaml.safe_load_all(Y)); EPHS=list(yaml.safe_load_all(EPH))
for o in OBJS:
    if o['kind']=='CertificateSigningRequest': o['spec']['request']=csr()
