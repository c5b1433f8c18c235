from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from polar.errors import InvalidInput
from polar.records.events import Evaluation
from polar.regime.decoding import Explained
from polar.regime.settling import Look, Settling, settling

Evaluations = Callable[..., Evaluation]


def settling_of(*course: Evaluation) -> Settling:
    return settling([Look.of(evaluation) for evaluation in course])


def test_still_labels_entropies_and_r_are_settled(evaluation_of: Evaluations) -> None:
    course = [
        evaluation_of(10, [0.0, 0.0], explained=0.1),
        evaluation_of(60, [0.5, 0.125], explained=0.6),
        evaluation_of(80, [1.0, 0.125], explained=0.796875),
        evaluation_of(90, [1.0625, 0.125], explained=0.8125),
        evaluation_of(100, [1.0, 0.15625], explained=0.8046875),
    ]

    still = settling_of(*course)

    assert still == Settling(
        settled=True,
        largest_move_nats=0.0625,
        most_moved=0,
        rise_of_explained=0.0078125,
        labels_changed=0,
        n_idle=0,
        since_step=60,
        is_before_learning=False,
    )


def test_a_move_of_more_than_a_tenth_of_a_nat_is_not_settled(evaluation_of: Evaluations) -> None:
    early, final = evaluation_of(60, [1.0, 0.5, 0.0]), evaluation_of(100, [1.0, 0.5, 0.0])

    moved = settling_of(early, evaluation_of(80, [1.0, 0.6001, 0.0]), final)
    at_the_limit = settling_of(early, evaluation_of(80, [1.0, 0.5, 0.1]), final)

    assert not moved.settled
    assert moved.most_moved == 1
    assert moved.largest_move_nats == pytest.approx(0.1001, rel=1e-12)  # rounding of a difference
    assert at_the_limit.settled


@pytest.mark.parametrize("before", [0.79, 0.7])
def test_while_r_rises_by_a_hundredth_nothing_is_settled(
    evaluation_of: Evaluations, before: float
) -> None:
    entropies = [1.0, 0.0]

    rising = settling_of(
        evaluation_of(60, entropies),
        evaluation_of(80, entropies, explained=before),
        evaluation_of(100, entropies, explained=0.8001),
    )

    assert not rising.settled
    assert rising.rise_of_explained == pytest.approx(0.8001 - before, rel=1e-12)  # a difference


def test_r_that_falls_is_not_settled_and_what_it_did_earlier_is_of_no_account(
    evaluation_of: Evaluations,
) -> None:
    def course(*explained: float) -> Settling:
        steps = (60, 80, 90, 100)
        return settling_of(
            *(
                evaluation_of(step, [1.0, 0.0], explained=r)
                for step, r in zip(steps, explained, strict=True)
            )
        )

    falling, still = course(0.6, 0.5, 0.4, 0.1), course(0.5, 0.7995, 0.8, 0.799)

    assert (falling.settled, still.settled) == (False, True)
    assert falling.rise_of_explained == pytest.approx(-0.4, rel=1e-12)  # differences
    assert still.rise_of_explained == pytest.approx(-0.001, rel=1e-9)


def test_a_changed_label_is_not_settled_however_small_the_move(evaluation_of: Evaluations) -> None:
    changed = settling_of(
        evaluation_of(60, [0.26, 1.0]),
        evaluation_of(80, [0.24, 1.0]),
        evaluation_of(100, [0.24, 1.0]),
    )

    assert not changed.settled
    assert changed.labels_changed == 1


def test_a_latent_that_left_and_came_back_is_not_settled(evaluation_of: Evaluations) -> None:
    course = [evaluation_of(step, [h, 1.0]) for step, h in ((60, 0.24), (70, 0.26), (85, 0.24))]

    returned = settling_of(*course, evaluation_of(100, [0.24, 1.0]))

    assert not returned.settled
    assert returned.labels_changed == 1


@pytest.mark.parametrize("idle_at", [{60}, {80}, {100}, {60, 80, 100}])
def test_an_idle_latent_in_the_last_two_fifths_is_not_settled(
    evaluation_of: Evaluations, idle_at: set[int]
) -> None:
    used, idle = [30.0, 20.0, 0.0], [30.0, 0.01, 0.0]

    still = settling_of(
        *(
            evaluation_of(step, [1.0, 1.0, 0.0], usage=idle if step in idle_at else used)
            for step in (60, 80, 100)
        )
    )

    assert (still.settled, still.n_idle) == (False, 1)


def test_a_latent_that_was_idle_earlier_is_of_no_account(evaluation_of: Evaluations) -> None:
    course = [evaluation_of(step, [1.0, 1.0, 0.0]) for step in (60, 80, 100)]

    still = settling_of(evaluation_of(30, [1.0, 1.0, 0.0], usage=[30.0, 0.01, 0.0]), *course)

    assert (still.settled, still.n_idle) == (True, 0)


def test_what_moved_before_is_of_no_account(evaluation_of: Evaluations) -> None:
    course = [evaluation_of(59, [0.0]), *(evaluation_of(step, [1.0]) for step in (60, 80, 100))]

    assert settling_of(*course).settled


def test_a_sparse_schedule_is_judged_from_the_evaluation_before(
    evaluation_of: Evaluations,
) -> None:
    course = [evaluation_of(50, [0.0]), evaluation_of(61, [1.0]), evaluation_of(100, [1.0])]

    sparse = settling_of(*course)

    assert not sparse.settled
    assert (sparse.since_step, sparse.labels_changed) == (50, 1)
    assert sparse.largest_move_nats == 0.0  # since step 61


@pytest.mark.parametrize(("change", "settled"), [(0.0198, True), (0.0202, False)])
def test_where_the_last_fifth_starts_between_evaluations_r_is_interpolated(
    evaluation_of: Evaluations, change: float, settled: bool
) -> None:
    # 80 is halfway from 64 to 100 in the logarithm of the step.
    course = [evaluation_of(step, [1.0, 0.0], explained=0.8 - change) for step in (32, 64)]

    sparse = settling_of(*course, evaluation_of(100, [1.0, 0.0], explained=0.8))

    assert sparse.settled is settled
    assert sparse.rise_of_explained == pytest.approx(change / 2, rel=1e-9)


@pytest.mark.parametrize("steps", [[100], [61, 80, 100]])
def test_evaluations_that_do_not_cover_the_last_two_fifths_are_not_settled(
    evaluation_of: Evaluations, steps: Sequence[int]
) -> None:
    unknown = settling_of(*(evaluation_of(step, [1.0, 0.0]) for step in steps))

    assert not unknown.settled
    assert unknown.since_step is None
    assert unknown.largest_move_nats == 0.0


@pytest.mark.parametrize(("risen_at", "since"), [(0, 60), (60, 60), (61, None), (100, None)])
def test_while_the_weight_rose_nothing_had_settled(
    evaluation_of: Evaluations, risen_at: int, since: int | None
) -> None:
    course = [Look.of(evaluation_of(step, [1.0, 0.0])) for step in (40, 60, 80, 100)]

    still = settling(course, risen_at)

    assert still.since_step == since
    assert still.settled is (since is not None)


def silent(
    evaluation_of: Evaluations, step: int, std: float, explained: float = 0.001
) -> Evaluation:
    """A model that explains nothing, with latents of this std."""
    return evaluation_of(step, [0.01, 0.02], explained=explained, std=std)


def test_on_the_plateau_before_learning_nothing_is_settled(evaluation_of: Evaluations) -> None:
    # beta = 18 stands still until step 750, and then learns.
    course = [silent(evaluation_of, step, 0.1) for step in (100, 200, 300, 400, 500)]

    plateau = settling_of(*course)

    assert plateau.is_before_learning
    assert not plateau.settled


def test_a_leap_of_the_codes_before_the_mean_image_is_drawn_is_no_signal(
    evaluation_of: Evaluations,
) -> None:
    # Seen at beta = 14: R is -1.1 at step 16, where the summed KL is 14 times that of the plateau.
    course = [silent(evaluation_of, 1, 0.02, explained=-1.9)]
    course += [silent(evaluation_of, 16, 0.3, explained=-1.1)]
    course += [silent(evaluation_of, step, 0.08) for step in (128, 256, 362, 512)]

    plateau = settling_of(*course)

    assert plateau.is_before_learning
    assert not plateau.settled


def test_a_model_whose_latents_have_died_has_settled(evaluation_of: Evaluations) -> None:
    course = [silent(evaluation_of, 8, 0.5)]
    course += [silent(evaluation_of, step, 0.001) for step in (400, 600, 800, 1000)]

    dead = settling_of(*course)

    assert not dead.is_before_learning
    assert dead.settled


def test_the_divergence_of_a_fixed_variance_is_no_signal(evaluation_of: Evaluations) -> None:
    def with_fixed_variance(evaluation: Evaluation) -> Look:
        of_variance = {"kl_variance_part_nats": 0.7}
        latents = [
            latent.model_copy(update={"kl_nats": (latent.kl_nats or 0) + 0.7, **of_variance})
            for latent in evaluation.latents
        ]
        return Look(evaluation.step, tuple(latents), Explained(0.001, 0.01), explains_nothing=True)

    course = [silent(evaluation_of, 8, 0.5)]
    course += [silent(evaluation_of, step, 0.001) for step in (400, 600, 800, 1000)]

    assert settling([with_fixed_variance(evaluation) for evaluation in course]).settled


@pytest.mark.parametrize(
    ("at_80", "rests"), [(0.04, True), (0.0365, True), (0.0355, False), (0.0445, False)]
)
def test_a_model_that_rests_at_an_r_too_small_to_count_has_settled(
    evaluation_of: Evaluations, at_80: float, rests: bool
) -> None:
    # Seen with MNIST at the right end of its band.
    course = [
        replace(
            Look.of(evaluation_of(step, [1.0, 0.0], explained=r, std=1.0)),
            explained=Explained(r, 0.002),
        )
        for step, r in ((60, 0.04), (80, at_80), (100, 0.04))
    ]

    still = settling(course)

    assert (still.settled, still.is_before_learning) == (rests, not rests)


def test_a_model_that_explains_something_is_never_before_learning(
    evaluation_of: Evaluations,
) -> None:
    course = [evaluation_of(step, [1.0, 0.0], explained=0.05, std=1.0) for step in (60, 80, 100)]

    learning = settling_of(*course)

    assert not learning.is_before_learning
    assert learning.settled


def test_settling_of_no_evaluations_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 evaluations; allowed: at least 1"):
        settling([])
