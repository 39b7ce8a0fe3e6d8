package controlplane

import (
	"context"
	"errors"
)

// StartControllerManager starts the controllers of Kubernetes that tests may need. They
// delete the objects in a deleted namespace, delete an object with its owner, and create
// the ServiceAccount "default" in each namespace. No other controllers run: Deployments
// get no Pods, and Services get no EndpointSlices. StartControllerManager returns when the
// program has started. The controllers begin to work within seconds.
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
		"--secure-port=0") // no server, and so no port that another program could have
	cp.controllerManager = p
	return err
}
