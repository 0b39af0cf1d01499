package main

import (
	"context"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// leader lets two candidates want one Lease: the second leads when the first lets go, and not before.
func leader(ctx context.Context, config *rest.Config, namespace string) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	leading := make(chan string, 2)
	stand := func(ctx context.Context, name string) (chan struct{}, error) {
		lock := &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Namespace: namespace, Name: "election"},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: name},
		}
		elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
			Lock: lock, ReleaseOnCancel: true, Name: name,
			LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 100 * time.Millisecond,
			Callbacks: leaderelection.LeaderCallbacks{
				OnStartedLeading: func(context.Context) { leading <- name },
				OnStoppedLeading: func() {},
			},
		})
		if err != nil {
			return nil, err
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			elector.Run(ctx)
		}()
		return done, nil
	}
	next := func() (string, error) {
		select {
		case name := <-leading:
			return name, nil
		case <-ctx.Done():
			return "", fmt.Errorf("nobody leads: %w", ctx.Err())
		}
	}
	first, stop := context.WithCancel(ctx)
	defer stop()
	firstDone, err := stand(first, "first")
	if err != nil {
		return err
	}
	name, err := next()
	if err != nil {
		return err
	}
	fmt.Println("leads:", name)
	second, stopSecond := context.WithCancel(ctx)
	defer stopSecond()
	secondDone, err := stand(second, "second")
	if err != nil {
		return err
	}
	leases := client.CoordinationV1().Leases(namespace)
	var renewed metav1.MicroTime
	// The lease is renewed by its holder while the other one waits.
	for range 3 {
		before := renewed
		err := await(ctx, "a renewal", func() (bool, error) {
			lease, err := leases.Get(ctx, "election", metav1.GetOptions{})
			if err != nil {
				return false, err
			}
			if *lease.Spec.HolderIdentity != "first" {
				return false, fmt.Errorf("%s took the lease", *lease.Spec.HolderIdentity)
			}
			renewed = *lease.Spec.RenewTime
			return renewed.After(before.Time), nil
		})
		if err != nil {
			return err
		}
	}
	stop()
	<-firstDone
	if name, err = next(); err != nil {
		return err
	}
	fmt.Println("leads:", name)
	stopSecond()
	<-secondDone
	lease, err := leases.Get(ctx, "election", metav1.GetOptions{})
	if err != nil {
		return err
	}
	fmt.Printf("changed hands %d times, held by %q\n", *lease.Spec.LeaseTransitions, *lease.Spec.HolderIdentity)
	return nil
}
