{{- /* A release knows the digest of its image; a tag of the user names another image. */ -}}
{{- define "lbstack.image" -}}
{{- $released := index ($.Chart.Annotations | default dict) "lbstack.io/image-digest" -}}
{{- with .Values.image -}}
{{- if or .digest (and $released (not .tag)) -}}
{{ .repository }}@{{ .digest | default $released }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end -}}
