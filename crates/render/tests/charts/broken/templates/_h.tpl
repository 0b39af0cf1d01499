{{- define "deep" -}}
{{ include "deeper" . }}
{{- end -}}
{{- define "deeper" -}}
{{ .Values.a.b.c }}
{{- end -}}
