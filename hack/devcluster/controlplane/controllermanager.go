package controlplane

import (
	"context"
	"errors"
)

// StartControllerManager starts those controllers of Kubernetes that tests may
// need: they delete the objects in a deleted namespace, delete objects with
// their owners, and create the ServiceAccount "default" in namespaces. No
// other controllers run: Deployments get no Pods, and Services get no
// EndpointSlices. It returns when the program has been started; the
// controllers begin within seconds.
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
		"--secure-port=0") // no server, so that no port can collide
	cp.controllerManager = p
	return err
}
