package controlplane

import (
	"context"
	"errors"
)

// StartControllerManager starts those controllers of Kubernetes that tests may
// need: namespaces are emptied when they are deleted, objects go with their
// owners, and namespaces get the service account "default". Nothing else runs:
// no Deployment makes Pods and no Service gets EndpointSlices. It returns when
// the program has been started; the controllers begin within seconds.
func (cp *ControlPlane) StartControllerManager(ctx context.Context) error {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	if cp.etcd == nil {
		return errors.New("starting the controller manager: the control plane is stopped")
	}
	if cp.controllerManager != nil {
		return errors.New("starting the controller manager: it runs already")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	p, err := startProcess(cp.dir, "kube-controller-manager", cp.options.Binaries.Kubernetes, "kube-controller-manager",
		"--kubeconfig="+kubeconfigFile,
		"--controllers=namespace-controller,garbage-collector-controller,"+
			"serviceaccount-controller,serviceaccount-token-controller",
		"--service-account-private-key-file="+signingKeyFile,
		"--root-ca-file="+caFile,
		"--leader-elect=false",
		"--concurrent-gc-syncs=2",
		"--secure-port=0") // serves nothing: no port to collide
	cp.controllerManager = p
	return err
}
