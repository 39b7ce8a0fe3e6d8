package apiserver

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// auditPolicy has the API server log every request with a token of lbstack's
// ServiceAccounts.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  users:
  - system:serviceaccount:lbstack-system:lbstack-operator
  - system:serviceaccount:lbstack-system:lbstack-controller
  - system:serviceaccount:lbstack-system:lbstack-speaker
- level: None
`

// auditLog is the file of the requests, in the directory of the control plane.
const auditLog = "audit.log"

// auditFlags has the API server write the audit log; the policy is in a directory of the caller.
func auditFlags(dir string) ([]string, error) {
	path := filepath.Join(dir, "audit-policy.yaml")
	if err := os.WriteFile(path, []byte(auditPolicy), 0o600); err != nil {
		return nil, fmt.Errorf("writing the audit policy: %w", err)
	}
	return []string{"--audit-policy-file=" + path, "--audit-log-path=" + auditLog, "--audit-log-mode=blocking"}, nil
}

// Request is a request in the audit log.
type Request struct {
	User      struct{ Username string }
	Verb      string
	ObjectRef struct{ APIGroup, Resource, Subresource, Namespace, Name string }
	// ResponseStatus has the HTTP status code.
	ResponseStatus struct{ Code int }
}

// Requests returns the requests of a ServiceAccount so far, in order.
func (s *Server) Requests(account string) (list []Request, err error) {
	text, err := os.ReadFile(filepath.Join(filepath.Dir(s.KubeconfigPath()), auditLog))
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	for line := range bytes.Lines(text) {
		var r Request
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("reading a line of the audit log: %w", err)
		}
		if r.User.Username == "system:serviceaccount:"+account {
			list = append(list, r)
		}
	}
	return list, nil
}
