package maintenance

import (
	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
	"github.com/lbstack/lbstack/internal/lb"
)

// Move returns a copy of the claim that requests the node to announce the address on the local network. If node is empty, the copy
// requests no node. Move returns the claim itself if nothing changes.
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
