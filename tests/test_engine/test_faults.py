"""What goes wrong around a run: nothing is lost, and the reason is named."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from torch import nn
from torch._utils import ExceptionWrapper

from tests.test_engine.conftest import TEXT
from tests.test_engine.test_hooks import Send
from tests.test_engine.test_resume import train
from unimask.checkpoints import (
    checkpoints_of,
    latest_checkpoint,
    read_checkpoint,
    writing,
)
from unimask.engine import (
    EMAHook,
    Interrupted,
    InterruptHook,
    NonFiniteLossError,
    Runner,
)
from unimask.engine.hooks import interrupt
from unimask.engine.run_lock import run_lock
from unimask.engine.soundness import spoiled_weights
from unimask.engine.workers import DataWorkerError, worker_message
from unimask.errors import UserError
from unimask.preflight import load_config, prepare_config

ROOT = Path(__file__).parents[2]


class At(Hook):
    """Does something before an iteration."""

    def __init__(self, *, at: int, do: Callable[[], None]) -> None:
        self.at = at
        self.do = do

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter + 1 == self.at:
            self.do()


def run_with(config: Config, *hooks: Hook) -> Runner:
    """A runner of a config with more hooks."""
    runner = Runner.from_cfg(prepare_config(config))
    for hook in hooks:
        runner.register_hook(hook)
    return runner


@pytest.fixture(scope='module')
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the toy model."""
    folder = tmp_path_factory.mktemp('sound')
    (folder / 'toy_config.py').write_text(TEXT)
    config = load_config(folder / 'toy_config.py')
    config.work_dir, config.train_cfg.max_iters, config.custom_hooks = str(folder), 3, []
    Runner.from_cfg(prepare_config(config)).train()
    return folder / 'iter_3.pth'


@pytest.fixture
def finished(config: Config) -> Path:
    """Work directory of a short run that ended."""
    config.train_cfg.max_iters = 6
    config.default_hooks.checkpoint.interval = 3
    config.custom_hooks = []
    Runner.from_cfg(prepare_config(config)).train()
    return Path(config.work_dir)


@pytest.mark.parametrize(('counts', 'kill_at'), [(2, 5), (4, 8)])
def test_accumulation_resumes_from_any_iteration(config: Config, tmp_path: Path, counts: int,
                                                 kill_at: int) -> None:
    config.optim_wrapper.accumulative_counts = counts
    config.train_cfg.val_interval = 100
    unbroken = train(config, tmp_path / 'unbroken')
    train(config, tmp_path / 'killed', kill_at=kill_at)
    assert int(latest_checkpoint(tmp_path / 'killed')[-5]) % counts  # between two updates
    config.resume = True
    resumed = train(config, tmp_path / 'killed')
    for name, value in unbroken.items():
        assert torch.equal(value, resumed[name]), name
    # Runs of one process that begin in the same second share a log, in the folder of the first.
    logs = [path.read_text() for path in tmp_path.rglob('*.log')]
    assert any('Resumed' in log for log in logs)
    assert not any('gradient of some iterations is lost' in log for log in logs)


def test_gradients_that_fit_no_longer_are_named(config: Config, tmp_path: Path) -> None:
    config.optim_wrapper.accumulative_counts = 2
    train(config, tmp_path / 'run', kill_at=5)
    config.resume, config.optim_wrapper.accumulative_counts = True, 3
    train(config, tmp_path / 'run')
    log = max((tmp_path / 'run').glob('*/*.log')).read_text()
    assert 'accumulative_counts is 3 and was 2' in log


@pytest.mark.parametrize('signum', [signal.SIGHUP, signal.SIGUSR1])
def test_hang_up_and_the_warning_of_a_scheduler_save(config: Config, signum: int) -> None:
    before = signal.signal(signum, signal.SIG_DFL)  # the tests themselves may run under nohup
    try:
        with pytest.raises(Interrupted) as caught:
            run_with(config, Send(signum=signum, at=2, where='train')).train()
        assert caught.value.signum == signum and caught.value.checkpoint.endswith('iter_2.pth')
        assert signal.getsignal(signum) == signal.SIG_DFL
    finally:
        signal.signal(signum, before)


def test_nohup_is_respected(config: Config) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        config.train_cfg.max_iters = 3
        run_with(config, Send(signum=signal.SIGHUP, at=2, where='train')).train()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_signal_handler_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in ``train.py | tee log``, where Ctrl-C ends tee first."""
    read, write = os.pipe()
    os.close(read)
    gone = os.fdopen(write, 'w')
    for name in ('stdout', 'stderr', '__stdout__', '__stderr__'):
        monkeypatch.setattr(sys, name, gone)
    hook = InterruptHook()
    hook._previous[signal.SIGUSR2] = signal.getsignal(signal.SIGUSR2)
    hook._note(signal.SIGUSR2, None)
    assert hook._agreed()


@pytest.mark.parametrize(('seconds', 'agreements'), [(4.0, 20), (0.3, 7), (0.001, 2)])
def test_processes_agree_in_time(monkeypatch: pytest.MonkeyPatch, seconds: float,
                                 agreements: int) -> None:
    """Every iteration where they are slow: torchrun waits for 30 seconds."""
    clock, asked = [100.0], []
    monkeypatch.setattr(interrupt, 'is_distributed', lambda: True)
    monkeypatch.setattr(interrupt, 'all_reduce', lambda data, op: asked.append(op))
    monkeypatch.setattr(interrupt.time, 'monotonic', lambda: clock[0])
    hook = InterruptHook()
    hook._agreed_at = clock[0]
    for _ in range(20):
        clock[0] += seconds
        assert not hook._agreed()
    assert len(asked) == agreements
    hook._signum = int(signal.SIGTERM)
    late = next(number for number in range(1, 20) if hook._agreed())
    assert late <= max(1, min(10, 1 / seconds))


def test_spoiled_weights_are_not_saved(config: Config) -> None:
    runner = run_with(config, At(at=3, do=lambda: runner.model.body[0].weight.data.fill_(
        float('nan'))))
    with pytest.raises(NonFiniteLossError, match=r'body\.0.*not saved; there is no checkpoint'):
        runner.train()
    assert checkpoints_of(config.work_dir) == []
    with pytest.raises(NonFiniteLossError, match=r'Start again with a lower learning rate'):
        runner.save_now(done=2)
    assert checkpoints_of(config.work_dir) == []


def test_spoiled_weights_are_found_by_name() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model.register_buffer('mask', torch.tensor(float('-inf')))
    assert spoiled_weights(model) == []
    model[0].weight.data[0, 0] = float('nan')
    model[1].running_var[1] = float('inf')
    assert spoiled_weights(model) == ['0.weight', '1.running_var']


def test_looking_at_losses_leaves_the_model_as_it_was(config: Config) -> None:
    config.train_cfg.max_iters = 2
    runner = Runner.from_cfg(prepare_config(config))
    runner.train()
    assert not runner.model._forward_hooks and 'parse_losses' not in vars(runner.model)


def kill_worker() -> None:
    """What the system does when the memory runs out."""
    worker = multiprocessing.active_children()[0]
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(10)


def test_dead_data_worker_leaves_a_checkpoint(config: Config) -> None:
    config.train_dataloader.num_workers = 1
    config.custom_hooks = []
    with pytest.raises(DataWorkerError, match=r'a process that loads data died') as caught:
        run_with(config, At(at=3, do=kill_worker)).train()
    assert latest_checkpoint(config.work_dir) in str(caught.value)
    assert latest_checkpoint(config.work_dir).endswith('iter_3.pth')
    assert 'num_workers' in str(caught.value)


def test_dead_data_worker_that_is_waited_for(config: Config,
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """Its batch is needed before anybody noticed: torch says so while the loop waits."""
    def wait(self: object) -> None:
        if iterator.calls == 2:
            raise RuntimeError('DataLoader worker (pid(s) 17) exited unexpectedly')
        iterator.calls += 1
        return fetch(self)
    from unimask.engine.loops import _Iterator as iterator
    fetch, iterator.calls = iterator.__next__, 0
    monkeypatch.setattr(iterator, '__next__', wait)
    with pytest.raises(DataWorkerError, match=r'iter_2\.pth'):
        run_with(config).train()
    del iterator.calls
    assert latest_checkpoint(config.work_dir).endswith('iter_2.pth')


def test_only_torchs_words_about_workers_count() -> None:
    assert 'hangs' in worker_message(RuntimeError('DataLoader timed out after 600 seconds'))
    assert 'died' in worker_message(RuntimeError(
        'DataLoader worker (pid 17) is killed by signal: Killed. '))
    assert worker_message(RuntimeError('Caught RuntimeError in DataLoader worker process 0.')
                          ) is None
    assert worker_message(ValueError('DataLoader worker (pid 17) is killed')) is None


@pytest.mark.skipif(sys.platform != 'linux', reason='the system tells a process of its parent')
def test_workers_do_not_outlive_the_run() -> None:
    import unimask.engine.workers as module
    code = """
import multiprocessing, os, runpy, sys, time
shield = runpy.run_path(sys.argv[1])['shield_worker'](lambda worker_id: time.sleep(100))
worker = multiprocessing.get_context('fork').Process(target=shield, args=(0,))
worker.start()
time.sleep(0.2)
print(worker.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, '-c', code, module.__file__], text=True, cwd=ROOT,
                          capture_output=True, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    worker = Path(f'/proc/{int(done.stdout)}/stat')
    for _ in range(20):  # its parent's pid passes to init, which may be slow to collect it
        if not worker.exists() or worker.read_text().split()[2] == 'Z':
            return
        time.sleep(0.1)
    pytest.fail('the worker lives')


def test_error_of_a_worker_says_its_sentence_alone() -> None:
    for kind, said in ((UserError, 'The file a.png cannot be read\n(really).'),
                       (NonFiniteLossError, 'a loss: infinite')):
        try:
            try:
                raise OSError('the cause')
            except OSError as cause:
                raise kind(said) from cause
        except UserError:
            wrapped = ExceptionWrapper(sys.exc_info(), where='in DataLoader worker process 0')
        with pytest.raises(kind) as caught:
            wrapped.reraise()
        assert str(caught.value) == said


def test_left_overs_of_dead_writers_go(config: Config) -> None:
    folder = Path(config.work_dir)
    folder.mkdir()
    ended = subprocess.Popen(['true'])
    ended.wait()
    orphan, alive = (folder / f'.iter_3.pth.{writing._HOST}.{pid}.0.part'
                     for pid in (ended.pid, os.getpid()))
    orphan.touch()
    alive.touch()
    config.train_cfg.max_iters = 1
    Runner.from_cfg(prepare_config(config)).train()
    assert alive.exists() and not orphan.exists()


def test_one_training_per_work_directory(config: Config, tmp_path: Path) -> None:
    folder = Path(config.work_dir)
    folder.mkdir()
    code = f"""
import pathlib, runpy, sys
lock = runpy.run_path(sys.argv[1])['run_lock']
with lock(pathlib.Path({str(folder)!r})) as locked:
    print(locked, flush=True)
    sys.stdin.read()
"""
    import unimask.engine.run_lock as module
    other = subprocess.Popen([sys.executable, '-c', code, module.__file__], text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                             cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert other.stdout.readline() == 'True\n'
    with pytest.raises(UserError, match=rf'process {other.pid} on .*--work-dir'):
        Runner.from_cfg(prepare_config(config)).train()
    other.communicate()
    with run_lock(folder) as locked:
        assert locked


def test_truncated_newest_checkpoint_gives_way(config: Config, finished: Path,
                                               caplog: pytest.LogCaptureFixture) -> None:
    newest = finished / 'iter_6.pth'
    newest.write_bytes(newest.read_bytes()[:3000])
    config.resume = True
    runner = Runner.from_cfg(prepare_config(config))
    assert runner._load_from.endswith('iter_3.pth')
    runner.train()
    assert read_checkpoint(newest)['meta']['iter'] == 6
    newest.write_bytes(b'')
    (finished / 'iter_3.pth').write_bytes(b'')
    with pytest.raises(UserError, match='cannot be read'):
        Runner.from_cfg(prepare_config(config))
    config.load_from = str(newest)  # named: no other one is taken
    with pytest.raises(UserError, match=r'iter_6\.pth'):
        Runner.from_cfg(prepare_config(config))


def _without(*names: str) -> Callable[[dict], object]:
    return lambda checkpoint: [checkpoint.pop(name) for name in names]


@pytest.mark.parametrize(('change', 'said'), [
    (_without('meta'), 'weights only'),
    (_without('message_hub'), 'message_hub'),
    (lambda it: it.update(meta={'iter': -5, 'epoch': 0}), r'meta\.iter is -5'),
    (lambda it: it['meta'].update(iter=10**9), 'at iteration 1000000000, and this run has 6'),
    (lambda it: it['meta'].pop('epoch'), r'meta\.epoch'),
    (lambda it: it.update(state_dict=None), 'state_dict'),
    (lambda it: it.update(state_dict={name: value.to(torch.complex64) for name, value
                                      in it['state_dict'].items()}), 'complex'),
    (lambda it: it.update(optimizer='lost'), 'optimizer'),
    (lambda it: it.update(optimizer={}), 'its optimizer cannot be restored'),
    (lambda it: it['param_schedulers'].pop(), 'written with 1 schedules'),
    (lambda it: it.update(param_schedulers=[{}, 3]), 'param_schedulers cannot be restored'),
    (lambda it: it.update(rng=[{'torch': 1}]), 'random numbers'),
    (lambda it: it.update(rng='x'), 'rng is no list')])
def test_damaged_checkpoints_are_explained(config: Config, tmp_path: Path, sound: Path,
                                           change: Callable, said: str) -> None:
    config.train_cfg.max_iters = 6
    config.custom_hooks = []
    checkpoint = torch.load(sound)
    change(checkpoint)
    torch.save(checkpoint, tmp_path / 'changed.pth')
    config.resume, config.load_from = True, str(tmp_path / 'changed.pth')
    with pytest.raises(UserError, match=said):
        Runner.from_cfg(prepare_config(config)).train()


def test_config_is_written_whole_when_the_run_begins(config: Config,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    in_place: list[str] = []
    dump = Config.dump
    monkeypatch.setattr(Config, 'dump', lambda self, file=None: (
        in_place.append(str(file)), dump(self, file))[1])
    runner = Runner.from_cfg(prepare_config(config))
    copy = Path(config.work_dir) / 'toy_config.py'
    assert not copy.exists()
    config.train_cfg.max_iters = 1
    runner.train()
    assert Config.fromfile(copy).model.type == 'ToyModel'
    assert str(copy) not in in_place


def test_averages_come_back_from_a_broken_evaluation() -> None:
    source = nn.Linear(2, 2)
    hook, runner = EMAHook(), type('Runner', (), dict(model=source))()
    hook.before_run(runner)
    before = source.weight.detach().clone()
    hook.ema_model.module.weight.data.zero_()
    hook.before_val_epoch(runner)
    assert not source.weight.any()
    for _ in range(2):  # a second call changes nothing
        hook.val_broken_off(runner)
        assert torch.equal(source.weight, before)
