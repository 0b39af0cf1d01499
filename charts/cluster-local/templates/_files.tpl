{{/* Files of the machines. */}}

{{/* What the API server says who somebody is. Without credentials there are only probes, and what kubeadm reads to join. */}}
{{- define "cluster-local.authentication" -}}
apiVersion: apiserver.config.k8s.io/{{ ternary "v1" "v1beta1" (semverCompare ">=1.34.0" .Values.global.release.kubernetesVersion) }}
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
    - path: /livez
    - path: /readyz
    - path: /healthz
    - path: /api/v1/namespaces/kube-public/configmaps/cluster-info
{{- with .Values.global.controlPlane.oidc }}
{{- if .issuerUrl }}
jwt:
  - issuer:
      url: {{ .issuerUrl | quote }}
      audiences:
        - {{ .clientId | quote }}
      {{- with .caPem }}
      certificateAuthority: {{ . | quote }}
      {{- end }}
    claimMappings:
      username:
        claim: {{ .usernameClaim | quote }}
        prefix: {{ .usernamePrefix | quote }}
      {{- if .groupsClaim }}
      groups:
        claim: {{ .groupsClaim | quote }}
        prefix: {{ .groupsPrefix | quote }}
      {{- end }}
    userValidationRules:
      - expression: "!user.username.startsWith('system:')"
        message: names that begin with system are the cluster's own
      - expression: "user.groups.all(group, !group.startsWith('system:'))"
        message: groups that begin with system are the cluster's own
{{- end }}
{{- end }}
{{- end -}}

{{/* What pods may be, in namespaces whose labels do not say. */}}
{{- define "cluster-local.admission" -}}
{{- $standards := .Values.global.podSecurityStandards -}}
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: PodSecurity
    configuration:
      apiVersion: pod-security.admission.config.k8s.io/v1
      kind: PodSecurityConfiguration
      defaults:
        enforce: {{ ternary $standards.enforce "privileged" $standards.enforced }}
        enforce-version: latest
        audit: {{ $standards.audit }}
        audit-version: latest
        warn: {{ $standards.warn }}
        warn-version: latest
      exemptions:
        usernames: []
        runtimeClasses: []
        namespaces:
          {{- toYaml $standards.exemptNamespaces | nindent 10 }}
{{- end -}}

{{/* What kubeadm's configuration of the kubelet is patched with. */}}
{{- define "cluster-local.kubelet" -}}
{{- $defaults := dict
  "protectKernelDefaults" true
  "makeIPTablesUtilChains" true
  "readOnlyPort" 0
  "rotateCertificates" true
  "seccompDefault" true
  "streamingConnectionIdleTimeout" "5m0s"
  "tlsMinVersion" "VersionTLS12"
  "tlsCipherSuites" (splitList "," (include "cluster-local.cipherSuites" .))
  "authentication" (dict "anonymous" (dict "enabled" false) "webhook" (dict "enabled" true))
  "authorization" (dict "mode" "Webhook")
  "maxPods" 110
  "podPidsLimit" 4096
  "kubeReserved" (dict "cpu" "250m" "memory" "512Mi" "ephemeral-storage" "1Gi")
  "systemReserved" (dict "cpu" "250m" "memory" "384Mi" "ephemeral-storage" "1Gi")
  "evictionHard" (dict "memory.available" "200Mi" "nodefs.available" "10%" "nodefs.inodesFree" "5%" "imagefs.available" "15%")
  "evictionSoft" (dict "memory.available" "500Mi")
  "evictionSoftGracePeriod" (dict "memory.available" "5s")
  "evictionMaxPodGracePeriod" 60
  "eventRecordQPS" 50
  "containerLogMaxSize" "10Mi"
  "containerLogMaxFiles" 5
  "serializeImagePulls" false
  "maxParallelImagePulls" 5
  "shutdownGracePeriod" "3m0s"
  "shutdownGracePeriodCriticalPods" "1m0s"
-}}
{{- $own := dict "apiVersion" "kubelet.config.k8s.io/v1beta1" "kind" "KubeletConfiguration" -}}
{{- mergeOverwrite $defaults .Values.internal.advancedConfiguration.kubelet.configuration $own | toYaml -}}
{{- end -}}

{{/* Files that every machine has. */}}
{{- define "cluster-local.files.machine" -}}
- path: /etc/kubernetes/patches/kubeletconfiguration0+merge.yaml
  owner: root:root
  permissions: "0644"
  content: |
    {{- include "cluster-local.kubelet" . | nindent 4 }}
- path: /etc/sysctl.d/90-kubelet.conf
  owner: root:root
  permissions: "0644"
  content: |
    {{- .Files.Get "files/sysctl.conf" | trim | nindent 4 }}
{{- if .Values.internal.sshTrustedUserCAKeys }}
- path: /etc/ssh/trusted-user-ca-keys.pem
  owner: root:root
  permissions: "0600"
  content: |
    {{- range .Values.internal.sshTrustedUserCAKeys }}
    {{ . | trim }}
    {{- end }}
- path: /etc/ssh/sshd_config.d/10-hardened.conf
  owner: root:root
  permissions: "0600"
  content: |
    {{- .Files.Get "files/sshd.conf" | trim | nindent 4 }}
{{- end }}
{{- end -}}

{{/* Files that the API server reads. */}}
{{- define "cluster-local.files.apiServer" -}}
- path: /etc/kubernetes/apiserver/authentication.yaml
  owner: root:root
  permissions: "0600"
  content: |
    {{- include "cluster-local.authentication" . | nindent 4 }}
- path: /etc/kubernetes/apiserver/admission.yaml
  owner: root:root
  permissions: "0600"
  content: |
    {{- include "cluster-local.admission" . | nindent 4 }}
{{- if .Values.global.controlPlane.audit.enabled }}
- path: /etc/kubernetes/apiserver/audit-policy.yaml
  owner: root:root
  permissions: "0600"
  content: |
    {{- .Files.Get "files/audit-policy.yaml" | trim | nindent 4 }}
{{- end }}
{{- if .Values.global.controlPlane.encryption.enabled }}
- path: /etc/kubernetes/apiserver/encryption.yaml
  owner: root:root
  permissions: "0600"
  contentFrom:
    secret:
      name: {{ include "cluster-local.name" . }}-encryption-provider-config
      key: encryption
{{- end }}
{{- end -}}

{{- define "cluster-local.preKubeadmCommands" -}}
- sysctl --system
{{- end -}}

{{- define "cluster-local.postKubeadmCommands" -}}
{{- if .Values.internal.sshTrustedUserCAKeys -}}
- systemctl restart sshd
{{- end }}
{{- end -}}
