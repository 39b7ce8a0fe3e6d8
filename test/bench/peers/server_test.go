package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const metrics = `# TYPE apiserver_request_total counter
apiserver_request_total{code="200",group="",resource="services",subresource="status",verb="PATCH",version="v1"} 1000
apiserver_request_total{code="409",group="",resource="services",subresource="status",verb="PATCH",version="v1"} 3
apiserver_request_total{code="201",group="",resource="events",subresource="",verb="POST",version="v1"} 7
apiserver_request_total{code="200",group="",resource="services",subresource="",verb="LIST",version="v1"} 2
apiserver_request_total{code="0",group="",resource="services",subresource="",verb="WATCH",version="v1"} 5
apiserver_request_total{code="200",group="coordination.k8s.io",resource="leases",subresource="",verb="PUT",version="v1"} 99
# TYPE process_cpu_seconds_total counter
process_cpu_seconds_total 12.5
`

func TestParseServed_CountsRequestsOfALoadBalancer(t *testing.T) {
	got, err := parseServed(strings.NewReader(metrics))
	if err != nil {
		t.Fatal(err)
	}
	want := served{requests: 1012, writes: 1010, processor: 12.5, byWrite: map[string]int64{"PATCH services/status": 1003, "POST events": 7}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(served{})); diff != "" {
		t.Errorf("served (-want +got):\n%s", diff)
	}
	later := want
	later.writes, later.byWrite = 1011, map[string]int64{"PATCH services/status": 1003, "POST events": 8}
	if diff := cmp.Diff(served{writes: 1, byWrite: map[string]int64{"POST events": 1}}, later.minus(want), cmp.AllowUnexported(served{})); diff != "" {
		t.Errorf("difference (-want +got):\n%s", diff)
	}
}
