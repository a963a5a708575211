
# Only where the stack has a schedule. EventBridge Scheduler has started this notebook a while before; where a person
# has it open, the run comes all the same. Auto-stop ends the notebook once the run is over and nobody uses it.
cat > /opt/fedstack/scheduled_run.sh <<'SCHEDULED_SH'
#!/bin/bash
# Waits until the runtime is installed, then runs the federation once, into a folder named after the time.
set -euo pipefail
home=/home/ec2-user/SageMaker/fedstack
for _ in $(seq 120); do
    grep -q ' ready$' "$home/STATUS" 2>/dev/null && break
    sleep 10
done
cd "$home"
exec /usr/local/bin/fedstack run --out "scheduled/$(date -u +%Y%m%dT%H%MZ)"
SCHEDULED_SH
cat > /etc/systemd/system/fedstack-scheduled-run.service <<'UNIT'
[Unit]
Description=Runs the federation as its stack has scheduled it

[Service]
Type=oneshot
User=ec2-user
ExecStart=/opt/fedstack/scheduled_run.sh
UNIT
cat > /etc/systemd/system/fedstack-scheduled-run.timer <<'UNIT'
[Unit]
Description=When the federation runs by itself

[Timer]
OnCalendar=@ON_CALENDAR@
AccuracySec=1s

[Install]
WantedBy=timers.target
UNIT
chmod 0755 /opt/fedstack/scheduled_run.sh
systemctl daemon-reload && systemctl enable --now fedstack-scheduled-run.timer ||
    echo "fedstack: no timer, so no run starts by itself"
