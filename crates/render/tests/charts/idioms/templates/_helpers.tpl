{{- define "name" -}}
{{ .Values.name }}
{{- end -}}

{{- define "fullname" -}}
{{ .Release.Name }}-{{ include "name" . }}
{{- end -}}

{{- define "labels" -}}
app: {{ include "name" . }}
release: {{ .Release.Name }}
{{- end -}}

{{- define "fails" -}}
{{ .Values.nope.deeper }}
{{- end -}}

{{- define "warns" -}}
{{ fail "told you so" }}
{{- end -}}

{{- define "dot" -}}
[{{ . }}]
{{- end -}}
