package config

import (
	"fmt"

	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/lbstack/lbstack/api/v1beta1"
)

// Setup adds the controllers of L2Advertisements, BGPAdvertisements, BFDProfiles and
// Communities to the manager.
func Setup(mgr ctrl.Manager, recorder events.EventRecorder) error {
	c := mgr.GetClient()
	for kind, start := range map[string]func() error{
		"L2Advertisement": func() error {
			return l2AdvertisementReconciler(c, recorder).addToManager(mgr, &v1beta1.L2Advertisement{})
		},
		"BGPAdvertisement": func() error {
			return bgpAdvertisementReconciler(c, recorder).addToManager(mgr, &v1beta1.BGPAdvertisement{})
		},
		"BFDProfile": func() error { return bfdProfileReconciler(c, recorder).addToManager(mgr, &v1beta1.BFDProfile{}) },
		"Community":  func() error { return communityReconciler(c, recorder).addToManager(mgr, &v1beta1.Community{}) },
	} {
		if err := start(); err != nil {
			return fmt.Errorf("starting the %s controller: %w", kind, err)
		}
	}
	return nil
}
