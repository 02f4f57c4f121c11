//! The serial line between the console and the person at it.

use embedded_io_async::{ErrorType, Read, Write};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

#[derive(Default)]
struct Line {
    typed: VecDeque<u8>,
    shown: Vec<u8>,
    reader: Option<Waker>,
    watcher: Option<Waker>,
}

/// Both ends of the line; cloning gives another handle to the same one.
#[derive(Clone, Default)]
pub struct Terminal {
    line: Rc<RefCell<Line>>,
}

impl Terminal {
    /// Types octets.
    pub fn type_text(&self, text: &str) {
        let mut line = self.line.borrow_mut();
        line.typed.extend(text.bytes());
        if let Some(waker) = line.reader.take() {
            waker.wake();
        }
    }

    /// Everything that was shown so far, as text.
    #[must_use]
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.line.borrow().shown).into_owned()
    }

    /// Forgets what was shown.
    pub fn clear(&self) {
        self.line.borrow_mut().shown.clear();
    }

    /// Waits until something is shown for which `done` is true, and returns all that was shown.
    pub async fn wait_for(&self, done: impl Fn(&str) -> bool) -> String {
        poll_fn(|cx| {
            let shown = self.shown();
            if done(&shown) {
                return Poll::Ready(shown);
            }
            self.line.borrow_mut().watcher = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// The appliance's end for reading and writing.
pub struct Port(pub Terminal);

impl ErrorType for Port {
    type Error = Infallible;
}

impl Read for Port {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        poll_fn(|cx| {
            let mut line = self.0.line.borrow_mut();
            if line.typed.is_empty() {
                line.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let mut count = 0;
            while count < buf.len()
                && let Some(octet) = line.typed.pop_front()
            {
                buf[count] = octet;
                count += 1;
            }
            Poll::Ready(Ok(count))
        })
        .await
    }
}

impl Write for Port {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        let mut line = self.0.line.borrow_mut();
        line.shown.extend_from_slice(buf);
        if let Some(waker) = line.watcher.take() {
            waker.wake();
        }
        Ok(buf.len())
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
