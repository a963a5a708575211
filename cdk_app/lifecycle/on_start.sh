#!/bin/bash
# Runs as root at every start of the notebook; SageMaker gives it five minutes, so the long part is detached. Only what
# the runtime needs may fail the start. Amazon Linux 2023 has no cron: systemd runs what recurs.
set -euo pipefail

install -d -m 0755 /opt/fedstack
cat > /opt/fedstack/auto_stop.py <<'AUTO_STOP_PY'
@AUTO_STOP@
AUTO_STOP_PY
cat > /etc/systemd/system/fedstack-auto-stop.service <<'UNIT'
[Unit]
Description=Stops this notebook when nobody uses it

[Service]
Type=oneshot
ExecStart=/usr/bin/python3 /opt/fedstack/auto_stop.py --name @NAME@ --region @REGION@ --minutes @IDLE_MINUTES@ --lock /home/ec2-user/SageMaker/fedstack/@RUNNING_FILE@
UNIT
cat > /etc/systemd/system/fedstack-auto-stop.timer <<'UNIT'
[Unit]
Description=Looks every five minutes whether anybody uses this notebook

[Timer]
OnBootSec=5min
OnUnitActiveSec=5min

[Install]
WantedBy=timers.target
UNIT

# What a person types in a terminal, in whatever folder.
if [ -n "@COMMANDS@" ]; then
    cat > /usr/local/bin/fedstack <<'COMMAND'
#!/bin/bash
home=/home/ec2-user/SageMaker/fedstack
if ! grep -q ' ready$' "$home/STATUS"; then
    echo "fedstack-error 10 CONFIG: This notebook is not ready: $(cat "$home/STATUS"). Wait, or stop it and start it." >&2
    exit 10
fi
export AWS_DEFAULT_REGION="${AWS_DEFAULT_REGION:-@REGION@}"
exec "$home/venv/bin/python" -P -m @COMMANDS@ "$@"
COMMAND
    chmod 0755 /usr/local/bin/fedstack
fi

cat > /opt/fedstack/install.sh <<'INSTALL_SH'
#!/bin/bash
# Fetches the runtime that this stack was deployed with, checks it and installs it without internet.
set -euo pipefail
export AWS_DEFAULT_REGION=@REGION@
home=/home/ec2-user/SageMaker/fedstack
install -d -o ec2-user -g ec2-user "$home"
say() { echo "$(date -u +%FT%TZ) $1" > "$home/STATUS"; chown ec2-user:ec2-user "$home/STATUS"; echo "fedstack: $1"; }
trap 'say "failed in line $LINENO; see /var/log/fedstack-install.log"' ERR
say "installing"

if [ -n "@ROSTER_URI@" ]; then
    aws s3 cp --only-show-errors "@ROSTER_URI@" "$home/federation.json"
    chown ec2-user:ec2-user "$home/federation.json"
fi

# Only the home volume outlives a stop. Amazon Linux's repository is an S3 bucket, reached by the gateway.
command -v python3.12 > /dev/null || dnf install --assumeyes --quiet python3.12

if [ "$(cat "$home/.bundle" 2>/dev/null)" != "@BUNDLE_SHA256@" ]; then
    aws s3 cp --only-show-errors "@BUNDLE_URI@" /tmp/bundle.tar.gz
    echo "@BUNDLE_SHA256@  /tmp/bundle.tar.gz" | sha256sum --check --quiet
    rm -rf "$home/bundle" "$home/venv"
    install -d -o ec2-user -g ec2-user "$home/bundle"
    tar -xzf /tmp/bundle.tar.gz -C "$home/bundle" --no-same-owner
    rm /tmp/bundle.tar.gz
    chown -R ec2-user:ec2-user "$home"
    sudo -u ec2-user python3.12 -m venv "$home/venv"
    cd "$home/bundle"
    sudo -u ec2-user "$home/venv/bin/pip" install --quiet --disable-pip-version-check --requirement requirements.txt
    echo "$home/bundle" > "$(sudo -u ec2-user "$home/venv/bin/python" -c 'import site; print(site.getsitepackages()[0])')/fedstack.pth"
    echo "@BUNDLE_SHA256@" > "$home/.bundle"
fi
# The environment as a kernel of JupyterLab, where the bundle brings what that takes.
if "$home/venv/bin/python" -c "import ipykernel" 2> /dev/null; then
    install -d -m 0755 /usr/local/share/jupyter/kernels/fedstack
    cat > /usr/local/share/jupyter/kernels/fedstack/kernel.json <<'KERNEL'
{"argv": ["/home/ec2-user/SageMaker/fedstack/venv/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
 "display_name": "Fedstack", "language": "python", "env": {"AWS_DEFAULT_REGION": "@REGION@"}}
KERNEL
fi
# The notebook to begin with; once a person has changed it, it is theirs.
shipped="$home/bundle/@NOTEBOOK@"
own="$home/../$(basename "$shipped")" before="$home/.$(basename "$shipped")"
if [ ! -e "$own" ] || cmp -s "$own" "$before"; then
    cp "$shipped" "$own" && cp "$shipped" "$before"
    chown ec2-user:ec2-user "$own"
fi
# server.py compares this line with the one in the script that is deployed by then.
cat > "$home/@INSTALLED_FILE@" <<'INSTALLED'
{"notebook": "@NAME@", "region": "@REGION@", "roster": "@ROSTER_URI@", "bundle": "@BUNDLE_SHA256@", @TOLD@}
INSTALLED
say "ready"
INSTALL_SH

chmod 0755 /opt/fedstack/install.sh /opt/fedstack/auto_stop.py
systemctl daemon-reload && systemctl enable --now fedstack-auto-stop.timer ||
    echo "fedstack: no timer, so this notebook does not stop by itself"
nohup /opt/fedstack/install.sh > /var/log/fedstack-install.log 2>&1 &
