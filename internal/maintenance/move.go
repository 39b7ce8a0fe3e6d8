package maintenance

import (
	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// Move returns the claim of an address with the node asked for that is to announce it on the local network; empty: no node is
// asked for any more. The same claim: it is so already.
func Move(claim *v1beta1.IPAddressClaim, node lb.NodeName) *v1beta1.IPAddressClaim {
	if apiconv.AnnounceFrom(claim) == node {
		return claim
	}
	changed := claim.DeepCopy()
	if node == "" {
		delete(changed.Annotations, v1beta1.AnnotationAnnounceFrom)
		return changed
	}
	if changed.Annotations == nil {
		changed.Annotations = map[string]string{}
	}
	changed.Annotations[v1beta1.AnnotationAnnounceFrom] = string(node)
	return changed
}
