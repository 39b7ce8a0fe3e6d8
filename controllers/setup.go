// Package controllers sets up the controllers of the controller program. They share one view of the
// allocations, which is filled before the first of them decides.
package controllers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/controllers/allocations"
	"github.com/lbstack/lbstack/controllers/announcement"
	"github.com/lbstack/lbstack/controllers/bgppeer"
	"github.com/lbstack/lbstack/controllers/claim"
	"github.com/lbstack/lbstack/controllers/config"
	"github.com/lbstack/lbstack/controllers/externalips"
	"github.com/lbstack/lbstack/controllers/metrics"
	"github.com/lbstack/lbstack/controllers/notify"
	"github.com/lbstack/lbstack/controllers/passwords"
	"github.com/lbstack/lbstack/controllers/pool"
	"github.com/lbstack/lbstack/controllers/service"
	"github.com/lbstack/lbstack/controllers/servicecondition"
	"github.com/lbstack/lbstack/controllers/speakerstate"
)

// Setup adds all controllers of the controller program to the manager. They serve the Services of the given
// class, see apiconv.IsServedBy, and read the Secrets in the given namespace. Setup registers their metrics
// with the registry.
func Setup(mgr ctrl.Manager, class, namespace string, registry prometheus.Registerer) error {
	view := allocations.New()
	counts := metrics.New(view)
	if err := registry.Register(counts); err != nil {
		return fmt.Errorf("registering the metrics: %w", err)
	}
	adopter := &service.Adopter{Reader: mgr.GetAPIReader(), Pools: pool.Read, Allocations: view, Class: class}
	recorder := notify.New(mgr.GetEventRecorder("lbstack-controller"))
	services := &service.Reconciler{
		Client: mgr.GetClient(), Reader: mgr.GetAPIReader(), Events: recorder, Allocations: view, Load: adopter.Load, Class: class, Metrics: counts,
	}
	if err := service.Setup(mgr, services, adopter); err != nil {
		return fmt.Errorf("starting the Service controller: %w", err)
	}
	pools := &pool.Reconciler{Client: mgr.GetClient(), Events: recorder, Allocations: view, Load: adopter.Load, Metrics: counts}
	if err := pools.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the IPAddressPool controller: %w", err)
	}
	claims := &claim.Reconciler{Client: mgr.GetClient(), Events: recorder, Allocations: view, Load: adopter.Load}
	if err := claims.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the IPAddressClaim controller: %w", err)
	}
	standing := announcement.NewServiceRecords()
	counts.SetNotAnnounced(standing.CountNotAnnounced)
	announced := &announcement.Reconciler{Client: mgr.GetClient(), Events: recorder, Class: class, Reports: announcement.NewReports(), Records: standing,
		Conditions: &servicecondition.Writer{Client: mgr.GetClient(), Type: v1beta1.ServiceAnnounced}}
	if err := announced.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the controller of announcements: %w", err)
	}
	if err := externalips.New(mgr.GetClient(), mgr.GetAPIReader(), recorder, view, adopter.Load).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the controller of externalIPs: %w", err)
	}
	if err := speakerstate.New(mgr.GetClient()).SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the controller of SpeakerStates: %w", err)
	}
	if err := config.Setup(mgr, recorder); err != nil {
		return err
	}
	return setupBGP(mgr, recorder, namespace)
}

// setupBGP adds the controllers of BGPPeers and of their passwords.
func setupBGP(mgr ctrl.Manager, recorder events.EventRecorder, namespace string) error {
	copies := &passwords.Reconciler{Client: mgr.GetClient(), Namespace: namespace}
	if err := copies.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the controller of passwords: %w", err)
	}
	peers := &bgppeer.Reconciler{Client: mgr.GetClient(), Namespace: namespace, Events: recorder}
	if err := peers.SetupWithManager(mgr); err != nil {
		return fmt.Errorf("starting the BGPPeer controller: %w", err)
	}
	return nil
}
