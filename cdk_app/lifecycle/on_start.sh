#!/bin/bash
# Runs as root at every start of the notebook; SageMaker gives it five minutes, so the long part is detached.
set -euo pipefail

install -d -m 0755 /opt/fedstack
cat > /opt/fedstack/auto_stop.py <<'AUTO_STOP_PY'
@AUTO_STOP@
AUTO_STOP_PY
echo '*/5 * * * * root /usr/bin/python3 /opt/fedstack/auto_stop.py --name @NAME@ --region @REGION@ --minutes @IDLE_MINUTES@' > /etc/cron.d/fedstack-auto-stop

cat > /opt/fedstack/install.sh <<'INSTALL_SH'
#!/bin/bash
# Fetches the runtime that this stack was deployed with, checks it and installs it without internet.
set -euo pipefail
export AWS_DEFAULT_REGION=@REGION@
home=/home/ec2-user/SageMaker/fedstack
install -d -o ec2-user -g ec2-user "$home"

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
echo "fedstack: ready"
INSTALL_SH

chmod 0755 /opt/fedstack/install.sh /opt/fedstack/auto_stop.py
nohup /opt/fedstack/install.sh > /var/log/fedstack-install.log 2>&1 &
