//! Live streams: the runtime names a URL of its streaming server, and the streams are there.

use futures::FutureExt;

use crate::cri::connection::RuntimeClient;
use crate::cri::streaming::{Forwarded, Wanted, command};
use crate::cri::{Cri, proto};
use crate::{AttachRequest, ByteStream, ContainerState, Error, ExecRequest, Result, Session};

impl Cri {
    pub(in crate::cri) async fn open_exec(
        &self,
        id: &str,
        request: ExecRequest,
    ) -> Result<Session> {
        let wanted = Wanted {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !request.tty,
            tty: request.tty,
        };
        let message = proto::ExecRequest {
            container_id: id.to_owned(),
            cmd: request.cmd,
            tty: wanted.tty,
            stdin: wanted.stdin,
            stdout: wanted.stdout,
            stderr: wanted.stderr,
        };
        let answer = self.0.calls.runtime(RuntimeClient::exec, message).await?;
        command(&answer.url, wanted).await
    }

    pub(in crate::cri) async fn open_attach(
        &self,
        id: &str,
        request: AttachRequest,
    ) -> Result<Session> {
        let (status, tty) = self.status_of(id).await?;
        if status.state != ContainerState::Running {
            return Err(Error::FailedPrecondition(format!("container {id} is not running")));
        }
        let wanted = Wanted {
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr && !tty,
            tty,
        };
        let message = proto::AttachRequest {
            container_id: id.to_owned(),
            stdin: wanted.stdin,
            tty,
            stdout: wanted.stdout,
            stderr: wanted.stderr,
        };
        let answer = self.0.calls.runtime(RuntimeClient::attach, message).await?;
        let session = command(&answer.url, wanted).await?;
        let (cri, id, detached) = (self.clone(), id.to_owned(), session.exit);
        // The stream tells that it is over, not how the container ended.
        let exit = async move {
            detached.await?;
            Ok(cri.status_of(&id).await?.0.exit_code)
        };
        Ok(Session { exit: exit.boxed(), ..session })
    }

    pub(in crate::cri) async fn forward(&self, sandbox_id: &str, port: u16) -> Result<ByteStream> {
        let message = proto::PortForwardRequest {
            pod_sandbox_id: sandbox_id.to_owned(),
            port: vec![port.into()],
        };
        let answer = self.0.calls.runtime(RuntimeClient::port_forward, message).await?;
        Ok(Box::new(Forwarded::open(&answer.url, port).await?))
    }
}
