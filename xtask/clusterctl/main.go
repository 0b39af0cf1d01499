// Command clusterctl is Cluster API's own client, built from its Go module.
package main

import "sigs.k8s.io/cluster-api/cmd/clusterctl/cmd"

func main() {
	cmd.Execute()
}
