"""Training every seed of a spec, one directory each."""

from collections.abc import Mapping
from typing import Any

from hrmsearch.errors import DivergedError, RunError
from hrmsearch.files import write
from hrmsearch.ir import text
from hrmsearch.spec.load import render
from hrmsearch.spec.model import Spec
from hrmsearch.tasks.loaders import train_batch_rows
from hrmsearch.train import checkpoint, manifest
from hrmsearch.train.answering import keep
from hrmsearch.train.compiling import prepared_for, source_for
from hrmsearch.train.files import RunFolder
from hrmsearch.train.interrupting import Interrupted, Wish, listening
from hrmsearch.train.job import Job
from hrmsearch.train.loop import Trainer
from hrmsearch.train.options import RunOptions
from hrmsearch.train.scores import SeedResult
from hrmsearch.train.watch import SeedStarted, Watcher
from hrmsearch.train.workshop import Workshop


def run(spec: Spec, options: RunOptions, watcher: Watcher) -> list[SeedResult]:
    """Train each of the spec's seeds in turn and return their results, in the order of the seeds.

    A seed's files go to `<out>/<name>/seed-<seed>/`: `spec.yaml`, `spec.resolved.yaml`, `graph.ir`, `model.py`,
    `manifest.json`, `metrics.jsonl`, `model.safetensors` (the best parameters so far), and `checkpoint.safetensors`
    until the seed is finished. With `options.resume` an unfinished seed goes on from its checkpoint, on the CPU bit for
    bit as if it had never stopped, a finished one is reported from its manifest, and a missing one is trained.

    Raises UnsoundError for an error diagnostic that the spec does not accept; RunError where a folder is taken, cannot
    be written, or holds another run or one begun with other options; DataError where the corpus cannot be had;
    DivergedError where training ran away; Interrupted after SIGINT or SIGTERM, with a checkpoint written.
    """
    folders = {seed: RunFolder(options.out / spec.name / f"seed-{seed}") for seed in spec.seeds}
    for folder in folders.values():
        folder.refuse_if_foreign() if options.resume else folder.refuse_if_used()
    shop = Workshop(options)
    plan = shop.plan(spec)
    watcher.headline(plan.data.headline)
    for one in plan.diagnostics:
        state = f"accepted: {one.accepted}" if one.accepted else one.severity
        watcher.note(f"{one.code} {one.name} at {one.place} ({state}): {one.message}")
    with listening() as wish:
        return [run_seed(Job(plan, seed, folder), shop, watcher, wish) for seed, folder in folders.items()]


def run_seed(job: Job, shop: Workshop, watcher: Watcher, wish: Wish) -> SeedResult:
    """Train one seed into its folder and return its result; with `options.resume` go on with it, or report it.

    Raises what `run` does.
    """
    if wish.signal is not None:
        raise Interrupted(wish.signal, job.folder.path, 0)
    found = _found(job) if job.plan.options.resume else None
    if found is not None and found["status"] == manifest.FINISHED:
        job.folder.remove_checkpoint()
        result = SeedResult.of(job.folder.path, found)
    else:
        result = _train(job, shop, _checkpoint(job, watcher), watcher, wish)
    watcher.finished(result)
    return result


def _found(job: Job) -> dict[str, Any] | None:
    """Return the manifest in a run's folder; raises RunError where it is of another run or began otherwise."""
    if not job.folder.manifest.exists():
        return None
    found = manifest.read(job.folder.manifest)
    checkpoint.check(job.folder.path, "a run", manifest.origin_of(found), job.origin)
    if found["status"] != manifest.FINISHED and job.folder.checkpoint.exists():
        _refuse_other_options(job, found)
    return found


def _refuse_other_options(job: Job, begun: Mapping[str, Any]) -> None:
    """Raise RunError where steps under these options would follow on ones under others: no manifest could say so."""
    options = job.plan.options
    asked, was = (options.optimize, options.kernels), (begun["optimize"], begun.get("kernels", True))
    words = [
        f"{'with' if before is flagged else 'without'} {flag}"
        for flag, flagged, before, now in zip(("--optimize", "--no-kernels"), (True, False), was, asked, strict=True)
        if before is not now
    ]
    if words:
        place = job.folder.manifest
        raise RunError(f"{place}: the run began {' and '.join(words)}; go on with the same, or begin another run")


def _checkpoint(job: Job, watcher: Watcher) -> checkpoint.Checkpoint | None:
    if not job.plan.options.resume:
        return None
    if job.folder.checkpoint.exists():
        return checkpoint.load(job.folder.checkpoint, job.origin)
    watcher.note(f"{job.folder.path}: nothing to resume; it starts afresh")
    return None


def _train(job: Job, shop: Workshop, start: checkpoint.Checkpoint | None, watcher: Watcher, wish: Wish) -> SeedResult:
    # compiled first: a device that is missing leaves no folder behind
    judge, described = shop.judge(job.plan), manifest.describe(job)
    _write_description(job, described)
    trainer = Trainer(job, lambda phase: shop.trainer(job.plan, phase), judge, watcher, wish)
    if start is None:
        trainer.begin()
    else:
        trainer.resume(start)
    watcher.started(_started(job, trainer, resumed=start is not None))
    try:
        trainer.train()
    except DivergedError:
        write(job.folder.manifest, manifest.dump(described | {"status": manifest.DIVERGED}))
        raise
    described |= manifest.results(job, trainer.progress, trainer.test())
    splits = job.plan.data.splits
    keep(job.folder.answers, judge, job.plan.task, splits.get("test", splits["valid"]))
    write(job.folder.manifest, manifest.dump(described))
    job.folder.remove_checkpoint()
    return SeedResult.of(job.folder.path, described)


def _started(job: Job, trainer: Trainer, *, resumed: bool) -> SeedStarted:
    plan = job.plan
    return SeedStarted(
        seed=job.seed,
        run_dir=job.folder.path,
        resumed=resumed,
        params=plan.params,
        flops=plan.batch_flops,
        passes=plan.graph.nest.passes,
        epochs=plan.spec.train.all_epochs,
        batches=len(train_batch_rows(plan.data.train_rows, plan.graph.nest.loader, plan.batch, plan.data.stream)),
        steps=plan.steps,
        step=trainer.progress.step,
    )


def _write_description(job: Job, described: dict[str, Any]) -> None:
    """Write what is known before training: again on every start, since what runs is what is installed now."""
    folder, plan = job.folder, job.plan
    folder.make()
    write(folder.spec, _as_written(plan.spec))
    write(folder.resolved, render(plan.spec))
    write(folder.graph, text(prepared_for(plan.spec, plan.graph, plan.options)))
    write(folder.source, source_for(plan.spec, plan.graph, plan.options))
    write(folder.manifest, manifest.dump(described))


def _as_written(spec: Spec) -> str:
    """Return a spec's own text with its overrides as comments below; the resolved text, if it came from none."""
    source = spec.source
    if source is None:
        return render(spec)
    changes = [f"# --set {override}" for override in manifest.overrides_of(spec)]
    head = ["", "# overrides of this run; spec.resolved.yaml has them applied"] if changes else []
    return "\n".join([source.text.rstrip("\n"), *head, *changes]) + "\n"
