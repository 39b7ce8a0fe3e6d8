package validity

import (
	"github.com/lbstack/lbstack/api/v1beta1"
	"github.com/lbstack/lbstack/internal/apiconv"
)

// CommunityResults returns the result for each Community, by name. If two objects define the same alias,
// only the definition in the older object is used. Each result therefore depends on all objects.
func CommunityResults(objects []v1beta1.Community) map[string]Result {
	_, wrong := apiconv.ParseCommunities(objects)
	results := map[string]Result{}
	for i := range objects {
		name := objects[i].Name
		results[name] = Result{Ready: true, Reason: v1beta1.ReasonCommunityValid, Message: "all names can be used"}
		if err := wrong[name]; err != nil {
			results[name] = Result{Reason: err.Reason, Message: err.Error() + "; the other names of the object can be used"}
		}
	}
	return results
}
