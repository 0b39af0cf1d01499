{{- define "shared" -}}from inner{{- end -}}
