package main

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/config"
	"github.com/lbstack/lbstack/controllers/crds"
	"github.com/lbstack/lbstack/controllers/installed"
	"github.com/lbstack/lbstack/internal/manager"
	"github.com/lbstack/lbstack/internal/version"
)

// upgradeAllCRDs runs instead of the operator if the flag --upgrade-crds is set, in a Job of the Helm chart.
func upgradeAllCRDs(ctx context.Context) error {
	cluster, err := manager.RESTConfig("lbstack-upgrade-crds")
	if err != nil {
		return err
	}
	c, err := client.New(cluster, client.Options{})
	if err != nil {
		return fmt.Errorf("preparing to write CustomResourceDefinitions: %w", err)
	}
	return crds.Upgrade(ctx, c, config.CRDs, version.Version)
}

// checkTimeout is how long checkInstallation waits for the installation to work before it returns an error.
const checkTimeout = 2 * time.Minute

// checkInstallation runs instead of the operator if the flag --check is set, for `helm test`.
func checkInstallation(ctx context.Context, namespace string) error {
	cluster, err := manager.RESTConfig("lbstack-check")
	if err != nil {
		return err
	}
	scheme, err := manager.NewScheme()
	if err != nil {
		return err
	}
	c, err := client.New(cluster, client.Options{Scheme: scheme})
	if err != nil {
		return fmt.Errorf("preparing to check the installation: %w", err)
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, time.Second, checkTimeout, true, func(ctx context.Context) (bool, error) {
		last = installed.Check(ctx, c, namespace)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("the installation does not work after %v: %w", checkTimeout, last)
	}
	return nil
}
