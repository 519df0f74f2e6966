//! The terminal's modes: set on entering, and given back however the program ends; and a thread that writes to it, since a terminal that
//! takes nothing for a while (a stalled connection, say) must hold up neither the room nor the keys.

use std::io::{Stdout, Write, stdout};
use std::sync::{Arc, Mutex, Once, PoisonError};

use crossterm::cursor::Show;
use crossterm::event::{DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange};
use crossterm::execute;
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, SetTitle, disable_raw_mode, enable_raw_mode,
};
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use snug::text::Untrusted;
use tokio::sync::mpsc;

use crate::failure::Failure;

/// The full screen. Dropping it gives the terminal back.
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Sheet>>,
    sheet: Sheet,
    pen: Pen,
    title: String,
}

impl Screen {
    /// Takes the terminal over; a panic gives it back before it is reported.
    pub fn open(room: &str) -> Result<Self, Failure> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let report = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                report(panic);
            }));
        });
        let title = format!("snug: {}", Untrusted::new(room).title());
        let sheet = Sheet::default();
        let mut screen = Self {
            terminal: terminal(&sheet)?,
            sheet,
            pen: Pen::new(),
            title,
        };
        screen.enter()?;
        Ok(screen)
    }

    /// Whether the terminal has taken what was drawn before: only then something is drawn again.
    pub fn is_ready(&self) -> bool {
        !self.pen.is_busy
    }

    /// Waits until it has, if it hasn't. Cancel-safe.
    pub async fn ready(&mut self) -> Result<(), Failure> {
        self.pen.written().await
    }

    /// Draws.
    pub fn draw(&mut self, draw: impl FnOnce(&mut ratatui::Frame<'_>)) -> Result<(), Failure> {
        self.terminal.draw(draw).map(drop).map_err(failed)?;
        let drawn = self.sheet.take();
        if !drawn.is_empty() {
            self.pen.write(drawn)?;
        }
        Ok(())
    }

    /// Draws from nothing the next time, whatever somebody else wrote on the screen. What is still being drawn comes first.
    pub async fn forget(&mut self) -> Result<(), Failure> {
        self.ready().await?;
        self.clear()
    }

    fn clear(&mut self) -> Result<(), Failure> {
        // Not `Terminal::clear`: that asks the terminal for its cursor, and the answer would go to whoever reads keys.
        self.terminal = terminal(&self.sheet)?;
        execute!(stdout(), Clear(ClearType::All)).map_err(failed)
    }

    /// Gives the terminal back for a while; [`Screen::enter`] takes it again.
    pub async fn suspend(&mut self) -> Result<(), Failure> {
        self.ready().await?;
        restore();
        Ok(())
    }

    /// Takes the terminal.
    pub fn enter(&mut self) -> Result<(), Failure> {
        enable_raw_mode().map_err(failed)?;
        execute!(
            stdout(),
            EnterAlternateScreen,
            EnableBracketedPaste,
            EnableFocusChange,
            SetTitle(self.title.as_str())
        )
        .map_err(failed)?;
        self.clear()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn terminal(sheet: &Sheet) -> Result<Terminal<CrosstermBackend<Sheet>>, Failure> {
    Terminal::new(CrosstermBackend::new(sheet.clone())).map_err(failed)
}

/// What is drawn, before the terminal is given it.
#[derive(Clone, Default)]
struct Sheet(Arc<Mutex<Vec<u8>>>);

impl Sheet {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Sheet {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The thread that writes, one drawing at a time.
struct Pen {
    drawings: mpsc::Sender<Vec<u8>>,
    written: mpsc::Receiver<std::io::Result<()>>,
    is_busy: bool,
}

impl Pen {
    fn new() -> Self {
        let (drawings, mut waiting) = mpsc::channel::<Vec<u8>>(1);
        let (done, written) = mpsc::channel(1);
        std::thread::spawn(move || {
            while let Some(drawing) = waiting.blocking_recv() {
                let result = write(&mut stdout(), &drawing);
                if done.blocking_send(result).is_err() {
                    return;
                }
            }
        });
        Self {
            drawings,
            written,
            is_busy: false,
        }
    }

    /// Only when nothing is being written.
    fn write(&mut self, drawing: Vec<u8>) -> Result<(), Failure> {
        self.drawings.try_send(drawing).map_err(|_| gone())?;
        self.is_busy = true;
        Ok(())
    }

    async fn written(&mut self) -> Result<(), Failure> {
        if self.is_busy {
            let result = self.written.recv().await.ok_or_else(gone)?;
            self.is_busy = false;
            result.map_err(failed)?;
        }
        Ok(())
    }
}

fn write(terminal: &mut Stdout, drawing: &[u8]) -> std::io::Result<()> {
    terminal.write_all(drawing)?;
    terminal.flush()
}

/// Undoes all of it; nothing can be done about a terminal that is gone.
fn restore() {
    let _ = execute!(
        stdout(),
        DisableFocusChange,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        SetTitle(""),
        Show
    );
    let _ = disable_raw_mode();
    let _ = stdout().flush();
}

fn failed(error: std::io::Error) -> Failure {
    Failure::failed(format_args!("the terminal can't be used: {error}")).help("try --plain")
}

fn gone() -> Failure {
    Failure::failed("the terminal can't be used: nothing writes to it any more").help("try --plain")
}
