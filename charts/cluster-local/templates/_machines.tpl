{{/* Machines, and what boots on them. */}}

{{/* The spec of a LocalMachineTemplate; takes the values of the control plane or of a pool. */}}
{{- define "cluster-local.machine" -}}
template:
  spec:
    cpus: {{ .cpus | default 4 | int }}
    memoryMiB: {{ .memoryMiB | default 8192 | int }}
    {{- with .startDelaySeconds }}
    startDelaySeconds: {{ int . }}
    {{- end }}
    {{- with .faults }}
    faults:
      {{- toYaml . | nindent 6 }}
    {{- end }}
{{- end -}}

{{/* How a node registers; takes its labels and taints. */}}
{{- define "cluster-local.registration" -}}
nodeRegistration:
  {{- if .labels }}
  kubeletExtraArgs:
    - name: node-labels
      value: {{ join "," .labels | quote }}
  {{- end }}
  {{- with .taints }}
  taints:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  imagePullPolicy: IfNotPresent
patches:
  directory: /etc/kubernetes/patches
{{- end -}}

{{/* The spec of the KubeadmConfigTemplate of a pool. */}}
{{- define "cluster-local.pool.config" -}}
{{- $advanced := .root.Values.internal.advancedConfiguration.workers -}}
template:
  spec:
    files:
      {{- include "cluster-local.files.machine" .root | nindent 6 }}
      {{- with $advanced.files }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    preKubeadmCommands:
      {{- include "cluster-local.preKubeadmCommands" .root | nindent 6 }}
      {{- with $advanced.preKubeadmCommands }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with concat (include "cluster-local.postKubeadmCommands" .root | fromYamlArray) $advanced.postKubeadmCommands }}
    postKubeadmCommands:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with .root.Values.global.connectivity.ntp.servers }}
    ntp:
      enabled: true
      servers:
        {{- toYaml . | nindent 8 }}
    {{- end }}
    joinConfiguration:
      {{- $labels := concat (list (printf "giantswarm.io/node-pool=%s" .name)) (.pool.customNodeLabels | default list) }}
      {{- include "cluster-local.registration" (dict "labels" $labels "taints" .pool.customNodeTaints) | nindent 6 }}
{{- end -}}

{{/* What makes a machine unhealthy; takes values of a machineHealthCheck. */}}
{{- define "cluster-local.checks" -}}
checks:
  nodeStartupTimeoutSeconds: {{ include "cluster-local.seconds" .nodeStartupTimeout }}
  unhealthyNodeConditions:
    - type: Ready
      status: Unknown
      timeoutSeconds: {{ include "cluster-local.seconds" .unhealthyUnknownTimeout }}
    - type: Ready
      status: "False"
      timeoutSeconds: {{ include "cluster-local.seconds" .unhealthyNotReadyTimeout }}
remediation:
  triggerIf:
    unhealthyLessThanOrEqualTo: {{ .maxUnhealthy }}
{{- end -}}
