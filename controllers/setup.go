// Package controllers puts the controllers of the controller program together:
// they share one ledger, which is loaded once, before any of them decides.
package controllers

import (
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lbstack/lbstack/controllers/ledger"
	"github.com/lbstack/lbstack/controllers/pool"
	"github.com/lbstack/lbstack/controllers/service"
)

// Setup adds the Service and the IPAddressPool controllers to the manager. They
// serve Services of the class; see apiconv.ServedBy.
func Setup(mgr ctrl.Manager, class string) error {
	book := ledger.New()
	adopter := &service.Adopter{Reader: mgr.GetAPIReader(), Ledger: book, Class: class}
	recorder := mgr.GetEventRecorder("lbstack-controller")
	services := &service.Reconciler{Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Events: recorder, Ledger: book, Load: adopter.Load, Class: class}
	if err := service.Setup(mgr, services, adopter); err != nil {
		return fmt.Errorf("starting the Service controller: %w", err)
	}
	pools := &pool.Reconciler{Client: mgr.GetClient(), Events: recorder, Ledger: book, Load: adopter.Load}
	if err := pools.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the IPAddressPool controller: %w", err)
	}
	return nil
}
