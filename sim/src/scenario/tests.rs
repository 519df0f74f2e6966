//! The judge bites: what was taken away, said twice, or kept from one is called by its name.

use super::*;
use snug::room::RoomEvent;

/// A room of three that talked for a while, before the judge has looked.
fn talked(scenario: &Scenario) -> Run<'_> {
    let mut run = Run::new(scenario);
    run.join().expect("three settle");
    for _ in 0..5 {
        run.say_something();
        run.world.run(Duration::from_secs(1));
    }
    run
}

fn failures(mut run: Run<'_>) -> Vec<Failure> {
    run.judge.look(&mut run.world);
    let any = Some(Duration::ZERO);
    run.judge.outcome(run.scenario, &run.world, any, None, any).failures
}

fn messages(run: &Run<'_>, node: usize) -> Vec<usize> {
    let is_message = |event: &RoomEvent| matches!(event, RoomEvent::Message(_));
    let events = run.world.nodes[node].events.iter().enumerate();
    events
        .filter(|(_, (_, event))| is_message(event))
        .map(|(place, _)| place)
        .collect()
}

#[test]
fn a_calm_room_is_whole_and_what_is_missing_double_or_different_is_named() {
    let scenario = Scenario {
        members: 3,
        ..Scenario::default()
    };
    assert_eq!(failures(talked(&scenario)), []);

    let mut run = talked(&scenario);
    let place = messages(&run, 1)[0];
    run.world.nodes[1].events.remove(place);
    assert_eq!(failures(run), [Failure::Lost { count: 1 }]);

    let mut run = talked(&scenario);
    let place = messages(&run, 1)[0];
    let again = run.world.nodes[1].events[place].clone();
    run.world.nodes[1].events.push(again);
    assert_eq!(failures(run), [Failure::Doubled { count: 1 }]);

    // Nobody was told that anything is out, and one member lacks something.
    let mut run = talked(&scenario);
    run.world.nodes.iter_mut().for_each(|node| node.sent.clear());
    let place = messages(&run, 2)[0];
    run.world.nodes[2].events.remove(place);
    assert_eq!(failures(run), [Failure::Diverged { count: 1 }]);
}
