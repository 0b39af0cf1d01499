{{- define "templated.server" -}}
{{ .Release.Name }}.{{ .Values.domain }}
{{- end -}}

{{/* Renders a value of any kind, templates in it and all. */}}
{{- define "templated.render" -}}
{{- $value := typeIs "string" .value | ternary .value (.value | toYaml) -}}
{{- if contains "{{" (toJson .value) -}}
{{- tpl $value .context -}}
{{- else -}}
{{- $value -}}
{{- end -}}
{{- end -}}
