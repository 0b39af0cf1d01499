{{/* Names, labels and small conversions. */}}

{{- define "cluster-local.name" -}}
{{- .Values.global.metadata.name | default .Release.Name -}}
{{- end -}}

{{- define "cluster-local.organization" -}}
{{- .Values.global.metadata.organization | default (trimPrefix "org-" .Release.Namespace) -}}
{{- end -}}

{{/* Labels of every object. They change with each version of the chart, so they are not in templates of machines. */}}
{{- define "cluster-local.labels" -}}
{{- $name := include "cluster-local.name" . -}}
{{- $own := dict
  "app" .Chart.Name
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/managed-by" .Release.Service
  "app.kubernetes.io/name" .Chart.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "cluster.x-k8s.io/cluster-name" $name
  "giantswarm.io/cluster" $name
  "giantswarm.io/organization" (include "cluster-local.organization" .)
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_")
-}}
{{- mergeOverwrite (dict) .Values.global.metadata.labels $own | toYaml -}}
{{- end -}}

{{/* The pools: those of the user, or the one that a cluster has otherwise. */}}
{{- define "cluster-local.pools" -}}
{{- .Values.global.nodePools | default .Values.internal.nodePools | default dict | toYaml -}}
{{- end -}}

{{/* Eight characters that follow from a text: the name of a template ends with them, because templates cannot be changed. */}}
{{- define "cluster-local.hash" -}}
{{- . | sha256sum | trunc 8 -}}
{{- end -}}

{{/* A duration such as 1h30m in seconds. */}}
{{- define "cluster-local.seconds" -}}
{{- $hours := regexFind "[0-9]+h" . | trimSuffix "h" | default "0" | int -}}
{{- $minutes := regexFind "[0-9]+m" . | trimSuffix "m" | default "0" | int -}}
{{- $seconds := regexFind "[0-9]+s" . | trimSuffix "s" | default "0" | int -}}
{{- add (mul $hours 3600) (mul $minutes 60) $seconds -}}
{{- end -}}

{{/* TLS suites that nothing is known against, in Go's names. With TLS 1.3 the list does not matter: it has no other ones. */}}
{{- define "cluster-local.cipherSuites" -}}
TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
{{- end -}}

{{/* Arguments as kubeadm lists them: those of the chart, with the user's over them. An empty text leaves one out. */}}
{{- define "cluster-local.args" -}}
{{- $args := mergeOverwrite (dict) .defaults .extra -}}
{{- range $name := keys $args | sortAlpha }}
{{- $value := get $args $name | toString }}
{{- if $value }}
- name: {{ $name | quote }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}
