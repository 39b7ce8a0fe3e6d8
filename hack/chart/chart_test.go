package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTemplate(t *testing.T) {
	tests := []struct {
		name   string
		object map[string]any
		want   string
	}{
		{"the namespace of an object and of its subjects is that of the release", map[string]any{
			"kind": "RoleBinding", "metadata": map[string]any{"name": "x", "namespace": "fixed"}, "subjects": []any{map[string]any{"name": "x", "namespace": "fixed"}},
		}, `kind: RoleBinding
metadata:
  name: x
  namespace: {{ .Release.Namespace }}
subjects:
- name: x
  namespace: {{ .Release.Namespace }}
`},
		{"an object of the cluster has none", map[string]any{"kind": "ClusterRole", "metadata": map[string]any{"name": "x"}}, "kind: ClusterRole\nmetadata:\n  name: x\n"},
		{"the values of a Deployment", map[string]any{
			"kind": "Deployment", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"replicas": int64(2), "template": map[string]any{"spec": map[string]any{
				"containers": []any{map[string]any{"image": "fixed", "args": []any{"--log-level=info"}, "env": []any{map[string]any{"name": "RELATED_IMAGE_LBSTACK", "value": "fixed"}, map[string]any{"name": "OTHER", "value": "stays"}}}},
			}}},
		}, `kind: Deployment
metadata:
  name: x
spec:
  replicas: {{ .Values.replicas }}
  template:
    metadata:
      {{- with .Values.podAnnotations }}
      annotations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      {{- with .Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
      - args:
        - --log-level={{ .Values.logLevel }}
        env:
        - name: RELATED_IMAGE_LBSTACK
          value: {{ include "lbstack.image" . }}
        - name: OTHER
          value: stays
        image: {{ include "lbstack.image" . }}
        imagePullPolicy: {{ .Values.image.pullPolicy }}
        resources:
          {{- toYaml .Values.resources | nindent 10 }}
      {{- with .Values.imagePullSecrets }}
      imagePullSecrets:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      nodeSelector:
        {{- toYaml .Values.nodeSelector | nindent 8 }}
      priorityClassName: {{ .Values.priorityClassName }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := renderTemplate(&unstructured.Unstructured{Object: tt.object})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("template (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTemplate_Refuses(t *testing.T) {
	tests := []struct {
		name   string
		object map[string]any
		want   string
	}{
		{"text that Helm would evaluate", map[string]any{"kind": "ConfigMap", "metadata": map[string]any{"name": "x"}, "data": map[string]any{"a": "{{ .Values }}"}}, "which Helm would take for"},
		{"a Deployment with containers that have no values", map[string]any{"kind": "Deployment", "metadata": map[string]any{"name": "x"},
			"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{map[string]any{}, map[string]any{}}}}}}, "the Deployment has 2 containers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := renderTemplate(&unstructured.Unstructured{Object: tt.object}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q in it", err, tt.want)
			}
		})
	}
}

func TestSetVersion(t *testing.T) {
	const about = "version: 0.1.0\nappVersion: v0.1.0\nannotations:\n  a: b\n"
	tests := []struct{ name, about, version, digest, want string }{
		{"both versions", about, "v1.2.3", "", "version: 1.2.3\nappVersion: v1.2.3\nannotations:\n  a: b\n"},
		{"the digest of a release", about, "v1.2.3", "sha256:1", "version: 1.2.3\nappVersion: v1.2.3\nannotations:\n  a: b\n  lbstack.io/image-digest: sha256:1\n"},
		{"a version without v is refused", about, "1.2.3", "", ""},
		{"a Chart.yaml without appVersion is refused", "version: 0.1.0\n", "v1.2.3", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := setVersion(tt.about, tt.version, tt.digest); got != tt.want || (err != nil) != (tt.want == "") {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}
