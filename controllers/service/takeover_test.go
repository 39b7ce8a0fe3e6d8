package service

import (
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/lb"
)

func TestUnfounded(t *testing.T) {
	known := map[string]*corev1.Service{
		"web":     {Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}},
		"plain":   {Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP}},
		"leaving": {ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: new(metav1.Unix(1, 0))}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}},
	}
	failed := errors.New("the API server is away")
	read := func(key lb.ServiceKey) (*corev1.Service, error) {
		if key.Name == "unread" {
			return nil, failed
		}
		return known[key.Name], nil
	}
	holders := func(names ...string) (list []v1beta1.ClaimHolder) {
		for _, name := range names {
			list = append(list, v1beta1.ClaimHolder{Namespace: "shop", Name: name})
		}
		return list
	}
	user := holders("web")
	user[0].UID = "u"
	for name, tt := range map[string]struct {
		takeOver bool
		holders  []v1beta1.ClaimHolder
		want     bool
		err      error
	}{
		"Service that exists":                     {true, holders("web"), false, nil},
		"Service that does not exist":             {true, holders("wbe"), true, nil},
		"Service of another type":                 {true, holders("plain"), true, nil},
		"Service that is being deleted":           {true, holders("leaving"), true, nil},
		"two, of which one exists":                {true, holders("wbe", "web"), false, nil},
		"Service that cannot be read":             {true, holders("unread"), false, failed},
		"nobody, so that the address is kept":     {true, nil, false, nil},
		"Service that has taken the address up":   {true, user, false, nil},
		"reservation that takes nothing by force": {false, holders("wbe"), false, nil},
	} {
		claim := &v1beta1.IPAddressClaim{Spec: v1beta1.IPAddressClaimSpec{TakeOver: tt.takeOver, Holders: tt.holders}}
		if got, err := hasOnlyMissingHolders(claim, read); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: got %v, %v, want %v, %v", name, got, err, tt.want, tt.err)
		}
	}
}
