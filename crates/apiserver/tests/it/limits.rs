//! How much there may be of something at a time.

use crate::world::World;

#[tokio::test(start_paused = true)]
async fn a_cluster_has_so_many_watches_and_no_more() {
    let world = World::new().await;
    let path = "/api/v1/namespaces/none/configmaps?watch=1";
    let mut watches = vec![];
    for _ in 0..20_000 {
        watches.push(world.watch(path).await);
    }
    assert_eq!(
        world.get(path).await.refused(),
        "429 TooManyRequests: too many watches in this cluster, please try again later"
    );
    // Nothing else needs such a place, and one that ends leaves its own.
    world.get("/api/v1/namespaces").await.ok();
    watches.pop();
    watches.push(world.watch(path).await);
}
