package maintenance

import (
	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// Move returns the claim changed to ask for a node that announces its address on the local network, or for no node if node is
// empty. It returns the same claim if nothing changes.
func Move(claim *v1beta1.IPAddressClaim, node lb.NodeName) *v1beta1.IPAddressClaim {
	if apiconv.AnnounceFromNode(claim) == node {
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
