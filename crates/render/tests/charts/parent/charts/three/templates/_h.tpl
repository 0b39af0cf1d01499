{{- define "shared" -}}from three{{- end -}}
