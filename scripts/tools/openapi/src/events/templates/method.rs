
    /// {{title}}: `{{name}}`.
    ///
    /// {{text}}
    fn {{method}}(&self, event: Event<types::{{kind}}>) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = event;
        ready(Ok(()))
    }
