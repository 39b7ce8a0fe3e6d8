package inspect

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/lbstack/lbstack/internal/apiconv"
)

// UnannouncedServices has the Services that should be announced and are not.
type UnannouncedServices struct {
	// Services is the number of Services that are served.
	Services int `json:"services"`
	// Unannounced are those that are not announced, sorted by name.
	Unannounced []UnannouncedService `json:"unannounced"`
}

// UnannouncedService is a Service that is not announced.
type UnannouncedService struct {
	// Service is namespace/name.
	Service string `json:"service"`
	// Reason and Message have the same meaning as in Story.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// WhyAll returns the Services of the snapshot that are not announced, each with the reason.
func WhyAll(s *Snapshot) UnannouncedServices {
	all := UnannouncedServices{Unannounced: []UnannouncedService{}}
	for i := range s.Services {
		svc := &s.Services[i]
		if !apiconv.IsServedBy(svc, s.loadBalancerClass()) {
			continue
		}
		all.Services++
		story := Story{}
		if story.Reason, story.Message = s.whyNotServed(svc); story.Reason == "" {
			story.conclude(svc)
		}
		if !story.Announced {
			all.Unannounced = append(all.Unannounced, UnannouncedService{apiconv.KeyOf(svc).String(), story.Reason, story.Message})
		}
	}
	slices.SortFunc(all.Unannounced, func(x, y UnannouncedService) int { return cmp.Compare(x.Service, y.Service) })
	return all
}

// Print writes a line for each Service that is not announced.
func (u *UnannouncedServices) Print(w io.Writer) error {
	var text strings.Builder
	for _, svc := range u.Unannounced {
		fmt.Fprintf(&text, "%s (%s): %s\n", svc.Service, svc.Reason, svc.Message)
	}
	if len(u.Unannounced) == 0 {
		fmt.Fprintf(&text, "All %d Services are announced\n", u.Services)
	}
	_, err := io.WriteString(w, text.String())
	return err
}
