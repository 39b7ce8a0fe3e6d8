package kube

import (
	"fmt"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/speaker/layer2"
)

// BenchmarkWatcherOneServiceChange: a Service loses its endpoints, or gets them back. It must not
// matter how many other Services there are.
func BenchmarkWatcherOneServiceChange(b *testing.B) {
	for _, count := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("%d Services", count), func(b *testing.B) {
			o, bed := large(count), newBed(apiconv.DrainPolicy{})
			bed.sees(o.list()...)
			reported := 0
			bed.watcher.OnChange = func(c layer2.Change) { reported += len(c.Addresses) }
			slice := &o.endpoints[50]
			for i := 0; b.Loop(); i++ {
				bed.store.Note(slice, i%2 == 1)
				bed.reader.Read(bed.watcher.handleChanges)
				if reported != i+1 {
					b.Fatalf("got %d addresses in %d changes, want one in each", reported, i+1)
				}
			}
		})
	}
}

// BenchmarkAdvertisementChange: all Services are computed and reported.
func BenchmarkAdvertisementChange(b *testing.B) {
	for _, count := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprintf("%d Services", count), func(b *testing.B) {
			o, bed := large(count), newBed(apiconv.DrainPolicy{})
			bed.sees(o.list()...)
			reported := 0
			bed.watcher.OnChange = func(c layer2.Change) { reported = len(c.Addresses) }
			zoneA := ad("all", v1beta1.L2AdvertisementSpec{NodeSelectors: selector("zone", "a")})
			for i := 0; b.Loop(); i++ {
				bed.store.Note([]client.Object{&zoneA, &o.advertisements[0]}[i%2], true)
				if bed.reader.Read(bed.watcher.handleChanges); reported != count {
					b.Fatalf("got %d addresses, want %d", reported, count)
				}
			}
		})
	}
}
